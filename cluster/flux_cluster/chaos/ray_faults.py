"""What happens to a Ray cluster: a node is lost, its head is started again, a process stands still."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal

import msgspec
import psutil

from flux_actors.errors import Unavailable
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.process_faults import one_of
from flux_cluster.chaos.ray_nodes import NODE, RayNode
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import ROUTER, SHARD, World
from flux_cluster.processes import lives

_SUCCESSOR_S: Final = 60.0
_END_S: Final = 30.0
_TITLES: Final = {"shard": SHARD, "router": ROUTER}


class NodeKill(msgspec.Struct, forbid_unknown_fields=True):
    """All processes of a node that is not the head are killed at once; a new node joins when it is healed."""

    holds: Literal["any", "shard", "router"] = "any"  # what is on it, if some such node has that
    _is_lost: bool = False

    async def inject(self, world: World, chance: random.Random) -> str:
        node = chance.choice(self._candidates(world))
        self._is_lost = True
        await world.ray.kill(node)
        return f"node {node.number}"

    async def heal(self, world: World) -> None:
        if self._is_lost:
            await world.ray.add()

    def _candidates(self, world: World) -> list[RayNode]:
        others = [node for node in world.ray.nodes.values() if not node.is_head]
        if self.holds == "any":
            return others
        there = {process.environ().get(NODE) for process in world.processes(_TITLES[self.holds])}
        return [node for node in others if str(node.number) in there] or others


class HeadRestart(msgspec.Struct, forbid_unknown_fields=True):
    """`kill -9` of the process that Ray's cluster hangs on (GCS); it is started again when it is healed."""

    async def inject(self, world: World, chance: random.Random) -> str:  # noqa: ARG002 - there is one head
        await world.ray.kill_head_process()
        return "gcs_server"

    async def heal(self, world: World) -> None:
        world.ray.start_head_process()


class HeadKill(msgspec.Struct, forbid_unknown_fields=True):
    """The head's node is lost whole; it is started again, on the same storage, when it is healed."""

    _lost: RayNode | None = None

    async def inject(self, world: World, chance: random.Random) -> str:  # noqa: ARG002 - there is one head
        self._lost = world.ray.nodes[0]
        await world.ray.kill(self._lost)
        return "node 0"

    async def heal(self, world: World) -> None:
        if self._lost is not None:
            await world.ray.start_again(self._lost)


class ShardPause(msgspec.Struct, forbid_unknown_fields=True):
    """A shard stands still (SIGSTOP) until another leads its partitions, and then wakes up beside it."""

    _paused: psutil.Process | None = None

    async def inject(self, world: World, chance: random.Random) -> str:
        before = _epochs(world)
        self._paused = paused = one_of(world.processes(SHARD), chance, SHARD)
        paused.send_signal(signal.SIGSTOP)
        await until(lambda: _is_led_anew(world, before), _SUCCESSOR_S, "a successor of the paused shard")
        if not lives(paused):
            raise Unavailable("the paused shard was ended before it could wake up")
        return f"pid {paused.pid}, which has a successor now"

    async def heal(self, world: World) -> None:  # noqa: ARG002 - it knows whom it has paused
        if (paused := self._paused) is None:
            return
        with suppress(psutil.NoSuchProcess):
            paused.send_signal(signal.SIGCONT)
        await until(lambda: not lives(paused), _END_S, "a shard that has a successor to end")


def _epochs(world: World) -> dict[int, int]:
    told = world.status()
    if told is None:
        raise Unavailable("no door tells which shard leads what")
    return {part["partition"]: part["epoch"] for part in told["partitions"]}


def _is_led_anew(world: World, before: Mapping[int, int]) -> bool:
    """Whether a partition has another leader than before, and all are served."""
    told = world.status()
    return (
        told is not None
        and all(part["ready"] for part in told["partitions"])
        and any(part["epoch"] > before[part["partition"]] for part in told["partitions"])
    )


FAULTS: Final[Mapping[str, type[Fault]]] = {
    "node-kill": NodeKill,
    "head-kill": HeadKill,
    "head-restart": HeadRestart,
    "shard-pause": ShardPause,
}
