"""A partition on the in-memory twins, and the blocks that tests write into its log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flux_actors.domain.change import FeedMessage, decode_feed
from flux_actors.domain.event import Event, TermedEvent
from flux_actors.log.block import MAGIC, VERSION, encode_block, encode_event
from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.log.ports import feed_subject
from flux_actors.shard.memory import Memory
from flux_actors.shard.partition import HostedPartition
from flux_actors.shard.recovering import recover
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.unit.domain.strategies import rows_of

DEADLINE_S = 20.0
NEWER_BLOCK = MAGIC + bytes([VERSION + 1]) + bytes(64)
TORN_BLOCK = b"FX\x01 torn"
POISON = b"\xa6poison"


def event(entity_id: str | None, properties: dict[str, Any] | None = None, event_id: str = "") -> Event:
    """Return an event; one with an `event_id` is named by its client."""
    return Event(entity_id, properties, event_id or "server", bool(event_id), "source", "stream", 1)


@dataclass
class Hosting:
    """One partition's log, snapshots and bus, and the hosts that come and go."""

    partition: int = 0
    log: MemoryLog = field(default_factory=lambda: MemoryLog(2))
    store: MemorySnapshotStore = field(default_factory=MemorySnapshotStore)
    bus: MemoryBus = field(default_factory=MemoryBus)
    heard: list[FeedMessage] = field(default_factory=list)
    epochs: Any = field(default_factory=lambda: itertools.count(1))
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    memory: Memory | None = None

    async def listen(self) -> None:
        """Keep every feed message in `heard`."""

        async def receive(data: bytes) -> None:
            self.heard.append(decode_feed(data))

        await self.bus.subscribe(feed_subject(self.partition), receive)

    async def write(self, *events: Event | bytes, clock_us: int = 1_000) -> int:
        """Store one block; an event of bytes goes in as it is. Return the block's sequence."""
        encoded = [item if isinstance(item, bytes) else encode_event(item) for item in events]
        termed = any(isinstance(item, TermedEvent) for item in events)
        return await self.write_bytes(encode_block(1, next(self.numbers), clock_us, encoded, termed=termed))

    async def write_bytes(self, data: bytes) -> int:
        """Store a message of any bytes and return its sequence."""
        return await self.log.append(self.partition, data, f"{id(data)}-{next(self.numbers)}", 1.0)

    def host(self) -> HostedPartition:
        """Return a new host with the next epoch."""
        return HostedPartition(
            self.partition, next(self.epochs), self.log, self.store, self.bus, memory=self.memory
        )

    async def recovered(self) -> HostedPartition:
        """Return a new host at the end of the log."""
        host = self.host()
        await recover(host)
        return host

    async def snapshot(self) -> int:
        """Keep a snapshot of the present end of the log and return its sequence."""
        host = await self.recovered()
        await Snapshotter(host, 0.0).finish()
        return host.snapshot_sequence


def properties_of(host: HostedPartition) -> dict[str, Any]:
    """Return the properties of all living entities."""
    return {row.entity_id: row.properties for row in rows_of(host.state) if row.properties is not None}


async def until(condition: Callable[[], Any]) -> None:
    """Return when `condition` holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the conditions are many
            await asyncio.sleep(0)
