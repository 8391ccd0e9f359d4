"""Parts of Flux that are killed where they stand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec
import psutil

from flux_actors.errors import Unavailable
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import DOOR, ROUTER, SHARD, World

_BACK_S: Final = 30.0


class _Kill(msgspec.Struct, forbid_unknown_fields=True):
    """`kill -9` of one process of a kind; whoever looks after it starts another."""

    title: ClassVar[str]

    async def inject(self, world: World, chance: random.Random) -> str:
        # One that was killed before may still be on its way back.
        there = await until(lambda: world.processes(self.title), _BACK_S, f"a process {self.title} to kill")
        victim = one_of(there, chance, self.title)
        victim.kill()
        return f"pid {victim.pid}"

    async def heal(self, world: World) -> None:
        """Leave that to Flux."""


class ShardKill(_Kill):
    """`kill -9` of a shard; the router starts its successor."""

    title = SHARD


class RouterKill(_Kill):
    """`kill -9` of the router; Ray starts it again."""

    title = ROUTER


class DoorKill(_Kill):
    """`kill -9` of a door; Serve starts another."""

    title = DOOR


def one_of(processes: list[psutil.Process], chance: random.Random, title: str) -> psutil.Process:
    """Return one of some processes.

    Raises:
        Unavailable: there are none.
    """
    if not processes:
        raise Unavailable(f"there is no process {title} to do anything to")
    return chance.choice(processes)


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "shard-kill": ShardKill,
    "router-kill": RouterKill,
    "door-kill": DoorKill,
}
