"""What happens to a Ray cluster: a node is lost, its head is started again, a process stands still."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final, Literal

import msgspec
import psutil

from flux_actors.errors import Unavailable
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.process_faults import one_of
from flux_cluster.chaos.ray_nodes import RayNode, node_of
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import ROUTER, SHARD, World
from flux_cluster.processes import lives

_SUCCESSOR_S: Final = 60.0
_END_S: Final = 30.0
_BACK_S: Final = 30.0
_ELSEWHERE_S: Final = 60.0  # one time in three the router comes back on the same of three nodes
_TITLES: Final = {"shard": SHARD, "router": ROUTER}


class NodeKill(msgspec.Struct, forbid_unknown_fields=True):
    """All processes of a node that is not the head are killed at once; a new node joins when it is healed.

    What it should hold may be on the head's node. It is killed there, before the load begins, until it comes
    back on a node that can be lost: Ray starts the router on any node, the router a shard on another one.
    """

    holds: Literal["any", "shard", "router"] = "any"  # what is on it
    _is_lost: bool = False

    async def prepare(self, world: World) -> None:
        await self._candidates(world)
        await world.rest()

    async def inject(self, world: World, chance: random.Random) -> str:
        node = chance.choice(await self._candidates(world))
        self._is_lost = True
        await world.ray.kill(node)
        return f"node {node.number}"

    async def heal(self, world: World) -> None:
        if self._is_lost:
            await world.ray.add()

    async def _candidates(self, world: World) -> list[RayNode]:
        """Return the nodes that can be lost and hold what they should.

        Raises:
            Unavailable: that stays on the head's node.
        """
        others = [node for node in world.ray.nodes.values() if not node.is_head]
        if self.holds == "any":
            return others
        deadline = time.monotonic() + _ELSEWHERE_S
        while time.monotonic() < deadline:
            there = await _nodes_with(world, _TITLES[self.holds])
            if found := [node for node in others if str(node.number) in there.values()]:
                return found
            await _kill(there)
        raise Unavailable(
            f"the {self.holds} is on the head's node, which is not to be lost, and came back there "
            f"for {_ELSEWHERE_S:g} s"
        )


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


async def _nodes_with(world: World, title: str) -> dict[psutil.Process, str | None]:
    """Return the processes of a title, one at least, and the number of each one's node."""
    found = await until(lambda: world.processes(title), _BACK_S, f"a process {title} to be on some node")
    return {process: node_of(process.pid) for process in found}


async def _kill(processes: Collection[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    await until(lambda: not any(map(lives, processes)), _END_S, "processes that were killed to end")


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
