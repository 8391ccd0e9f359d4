"""What Ray is to Flux: processes with names, and calls to them.

Whoever kills a process that stands still may not have killed it: it may come back, and not know that it was
replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from flux_actors.errors import FluxError, Unavailable
from flux_actors.feed.shard_calls import RayShardCalls
from flux_actors.log.ports import KeyValue
from flux_actors.router.shard_host import ShardGone
from flux_actors.router.topology import Topology
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.partition import PartitionStatus
from tests.simulation.calls import Callee, Gone
from tests.simulation.connection import SimulatedNats
from tests.simulation.loop import Process
from tests.simulation.network import Network

_START_S: Final = (0.05, 0.5)
_CALL_S: Final = 5.0
_HAND_OVER_S: Final = 10.0
_START_MAX_S: Final = 30.0
_DRAIN_S: Final = 60.0
_DOOR_CALL_S: Final = 10.0


class Shard(Callee):
    """A shard's process and what is in it."""

    def __init__(
        self, network: Network, process: Process, name: str, client: SimulatedNats, shard: EntityShard
    ) -> None:
        super().__init__(network, process)
        self.name = name
        self.client = client
        self.shard = shard

    def end(self) -> None:
        """Have the process die, and its connections end."""
        super().end()
        self.client.end()


class Cluster:
    """All shards by name, and the ways to them."""

    def __init__(self, network: Network, make: Callable[[str], Shard]) -> None:
        self.shards: dict[str, Shard] = {}  # whose names are taken
        self.zombies: list[Shard] = []  # that somebody believes dead
        self.cut: set[str] = set()  # processes whose calls are lost
        self.kills_miss = False  # whether to kill one that stands still does nothing
        self.ends: Callable[[Shard], None] = Shard.end
        self._network = network
        self._make = make

    async def start(self, name: str) -> None:
        """Start a shard, unless there is one of that name."""
        await asyncio.sleep(self._network.chance.seconds(*_START_S))
        known = self.shards.get(name)
        if known is None or not known.process.lives:  # the name of a dead one is free
            self.shards[name] = self._make(name)

    async def names(self) -> list[str]:
        """Return the names of those that live, whoever can reach them."""
        await asyncio.sleep(self._network.delay_s())
        return sorted(name for name, shard in self.shards.items() if shard.process.lives)

    async def kill(self, name: str) -> None:
        """End a shard, or believe so."""
        await asyncio.sleep(self._network.delay_s())
        shard = self.shards.pop(name, None)
        if shard is None or not shard.process.lives:
            return
        if self.kills_miss and shard.process.paused:
            self.zombies.append(shard)
        else:
            self.ends(shard)

    async def call(self, caller: Process, name: str, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Return what a shard answers.

        Raises:
            ShardGone: it is dead. TimeoutError: it did not answer. FluxError: as the shard raises it.
            Unavailable: it raised something else.
        """
        shard = self.shards.get(name)
        if shard is None:
            await asyncio.sleep(self._network.delay_s())
            raise ShardGone(name)
        try:
            return await shard.call(
                lambda: getattr(shard.shard, method)(*arguments),
                caller,
                timeout_s,
                lambda: caller.name in self.cut or name in self.cut,
            )
        except Gone:
            raise ShardGone(name) from None
        except (FluxError, TimeoutError):
            raise
        except Exception as error:
            raise Unavailable(f"shard {name} could not {method} ({error!r})") from error


class SimulatedShards:
    """The router's `ShardHost`."""

    def __init__(self, cluster: Cluster, process: Process) -> None:
        self._cluster = cluster
        self._process = process

    async def start(self, name: str, instead_of: str = "") -> None:
        """Start a shard and return when it answers."""
        async with asyncio.timeout(_START_MAX_S):
            await self._cluster.start(name)
        await self._call(name, "pid", _START_MAX_S)

    async def names(self) -> list[str]:
        """Return the shards that Ray knows."""
        return await self._cluster.names()

    async def adopt(self, name: str, partitions: list[int], epoch: int) -> None:
        """Have a shard host partitions."""
        for partition in partitions:
            await self._call(name, "adopt", _CALL_S, partition, epoch)

    async def follow(self, name: str, partition: int, epoch: int) -> None:
        """Have a shard fold a partition beside the one that leads it."""
        await self._call(name, "follow", _CALL_S, partition, epoch)

    async def lead(self, name: str, partition: int, epoch: int, after: int) -> None:
        """Have a shard lead a partition that it follows."""
        await self._call(name, "lead", _HAND_OVER_S, partition, epoch, after)

    async def release(self, name: str, partition: int) -> int:
        """Have a shard host a partition no longer."""
        last: int = await self._call(name, "release", _HAND_OVER_S, partition)
        return last

    async def status(self, name: str, timeout_s: float) -> list[PartitionStatus]:
        """Return its partitions' status."""
        found: list[PartitionStatus] = await self._call(name, "status", timeout_s)
        return found

    async def reducing_s(self, name: str, timeout_s: float) -> float | None:
        """Return that no reducer keeps it, if it says anything."""
        try:
            await self._call(name, "pid", timeout_s)
        except (ShardGone, TimeoutError, FluxError):
            return None
        return 0.0

    async def drain(self, name: str) -> None:
        """End it with snapshots."""
        await self._call(name, "drain", _DRAIN_S)

    async def kill(self, name: str) -> None:
        """End its process."""
        await self._cluster.kill(name)

    async def _call(self, name: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        return await self._cluster.call(self._process, name, method, *arguments, timeout_s=timeout_s)


class SimulatedCalls(RayShardCalls):
    """A door's `ShardCalls`: the real ones, but for the way to a shard."""

    def __init__(self, cluster: Cluster, process: Process, store: KeyValue, topology: Topology) -> None:
        super().__init__(store, topology, "")
        self._cluster = cluster
        self._process = process

    async def _call(self, partition: int, name: str, method: str, *arguments: Any) -> Any:
        try:
            return await self._cluster.call(self._process, name, method, *arguments, timeout_s=_DOOR_CALL_S)
        except (ShardGone, TimeoutError):
            raise Unavailable(f"partition {partition} is being restarted; try again in a second") from None
