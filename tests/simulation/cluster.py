"""What Ray is to Flux: processes with names, and calls to them.

Whoever kills a process that stands still may not have killed it: it may come back, and not know that it was
replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.shard_host import ShardGone
from flux_actors.router.topology import TOPOLOGY_KEY, Topology, decode_topology
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.partition import PartitionStatus
from tests.simulation.calls import Callee, Gone
from tests.simulation.connection import SimulatedNats
from tests.simulation.loop import Process
from tests.simulation.network import Network

_START_S: Final = (0.05, 0.5)
_CALL_S: Final = 5.0
_START_MAX_S: Final = 30.0
_DRAIN_S: Final = 60.0
_DOOR_CALL_S: Final = 10.0
_POLL_S: Final = 0.4


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

    async def start(self, name: str) -> None:
        """Start a shard and return when it answers."""
        async with asyncio.timeout(_START_MAX_S):
            await self._cluster.start(name)
        await self._call(name, "pid", _START_MAX_S)

    async def lives(self, name: str) -> bool:
        """Whether it answers."""
        try:
            await self._call(name, "pid", _CALL_S)
        except (ShardGone, TimeoutError, Unavailable):
            return False
        return True

    async def adopt(self, name: str, partitions: list[int], epoch: int) -> None:
        """Have a shard host partitions."""
        for partition in partitions:
            await self._call(name, "adopt", _CALL_S, partition, epoch)

    async def status(self, name: str, timeout_s: float) -> list[PartitionStatus]:
        """Return its partitions' status."""
        found: list[PartitionStatus] = await self._call(name, "status", timeout_s)
        return found

    async def reducing_s(self, name: str) -> float:
        """Return that no reducer keeps it."""
        return 0.0

    async def drain(self, name: str) -> None:
        """End it with snapshots."""
        await self._call(name, "drain", _DRAIN_S)

    async def kill(self, name: str) -> None:
        """End its process."""
        await self._cluster.kill(name)

    async def _call(self, name: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        return await self._cluster.call(self._process, name, method, *arguments, timeout_s=timeout_s)


class SimulatedCalls:
    """A door's `ShardCalls`, by the topology as it last read it."""

    def __init__(self, cluster: Cluster, process: Process, store: KeyValue, topology: Topology) -> None:
        self._cluster = cluster
        self._process = process
        self._store = store
        self.topology = topology

    def owner(self, partition: int) -> str:
        """Return the owning shard's name."""
        owner = self.topology.owners[partition]
        return owner.shard if owner else ""

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        """Call the owner of a partition."""
        try:
            return await self._cluster.call(
                self._process, self.owner(partition), method, *arguments, timeout_s=_DOOR_CALL_S
            )
        except (ShardGone, TimeoutError):
            raise Unavailable(f"partition {partition} is being restarted; try again in a second") from None

    async def follow(self) -> None:
        """Follow the topology."""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                stored = await self._store.get(TOPOLOGY_KEY)
            except FluxError:
                continue
            if stored is not None:
                self.topology = decode_topology(stored.value)
