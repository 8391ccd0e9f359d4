"""Parts of Flux that are killed where they stand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec
import psutil

from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import DOOR, ROUTER, SHARD, World


_BACK_S: Final = 30.0


class _Kill(msgspec.Struct, forbid_unknown_fields=True):
    """`kill -9` of one process of a kind; whoever looks after it starts another."""

    title: ClassVar[str]

    async def inject(self, world: World, chance: random.Random) -> str:
        victim = await one_of(world, self.title, chance)
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


async def one_of(world: World, title: str, chance: random.Random) -> psutil.Process:
    """Return one of the processes of a title; what was killed before may be on its way back.

    Raises:
        Unavailable: there is none.
    """
    there = await until(lambda: world.processes(title), _BACK_S, f"a process {title} to do something to")
    return chance.choice(there)


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "shard-kill": ShardKill,
    "router-kill": RouterKill,
    "door-kill": DoorKill,
}
