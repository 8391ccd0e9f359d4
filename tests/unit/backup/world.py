"""A Flux on the in-memory twins: what is backed up, and what comes of it elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flux_actors.backup.manifest import Manifest, reaching
from flux_actors.backup.restoring import Restored, Target, restore
from flux_actors.backup.taking import Source, registry_of, take
from flux_actors.behaviour.code import digest_of
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.behaviour.deployer import Deployer
from flux_actors.domain.acting import deploying
from flux_actors.domain.acting.catalogue import Catalogue, Version
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog, MemoryRebuilder, MemoryStores
from flux_actors.log.ports import StoredBlock
from flux_actors.places.memory import MemoryPlace
from flux_actors.router.topology import LOG_KEY, REGISTRY_BUCKET, STREAMS_KEY, LogRegistry, encode
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.unit.domain.strategies import Whole, whole

LOG_ID = "log"
CODE = b"code"


@dataclass
class World:
    """One Flux."""

    partitions: int = 2
    log: MemoryLog = field(default_factory=lambda: MemoryLog(2, LOG_ID))
    snapshots: MemorySnapshotStore = field(default_factory=MemorySnapshotStore)
    stores: MemoryStores = field(default_factory=MemoryStores)
    code: MemoryCodeStore = field(default_factory=MemoryCodeStore)
    place: MemoryPlace = field(default_factory=MemoryPlace)
    told: list[str] = field(default_factory=list)
    now_us: int = 10_000
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def begun(cls) -> World:
        """Return one that has started once."""
        world = cls()
        registry = await world.stores.open(REGISTRY_BUCKET)
        await registry.put(LOG_KEY, encode(LogRegistry(LOG_ID, world.partitions)))
        await registry.put(STREAMS_KEY, LOG_ID.encode())
        return world

    async def write(self, value: int, clock_us: int, partition: int = 0, entity: str = "a/1") -> int:
        """Commit an event as a block of its own; return its sequence."""
        event = Event(entity, {"v": value}, "made", False, "s", "t", 1)
        number = next(self.numbers)
        data = encode_block(1, number, clock_us, [encode_event(event)])
        return await self.log.append(partition, data, f"block {number}", 1.0)

    async def fill(self, clocks_us: Iterable[int], partition: int = 0) -> None:
        """Commit a block at each clock, whose value is the clock."""
        for clock_us in clocks_us:
            await self.write(clock_us, clock_us, partition, f"a/{clock_us % 3}")

    async def deploy(self, name: str, clock_us: int) -> Catalogue:
        """Deploy a behaviour."""
        await self.code.put(digest_of(CODE), CODE)
        store = await self.stores.open("flux_behaviours")
        deployer = Deployer(store, self.code, self.log, self.partitions, lambda: clock_us)
        version = Version(0, digest_of(CODE), [f"{name}/*"], ["on_change"])
        return await deployer.change(partial(deploying.deploy, name=name, version=version))

    async def snapshot(self, partition: int = 0, until: int | None = None) -> int:
        """Keep a snapshot of the end of a log, or of the state behind a block."""
        cut = Cut(await self.state(partition, until), LOG_ID)
        sink = self.snapshots.begin(partition, cut.sequence)
        for part in iter(cut.next_slice, None):
            sink.write(part)
        sink.commit()
        return cut.sequence

    async def state(self, partition: int = 0, until: int | None = None) -> PartitionState:
        """Return what recovery makes of log and snapshots: the newest snapshot that serves, then the log."""
        bounds = await self.log.bounds(partition)
        last = bounds.last if until is None else until
        state = PartitionState(partition)
        usable = [s for s in self.snapshots.sequences(partition) if s <= last]
        if usable:
            _, state = read_snapshot(self.snapshots.read(partition, usable[0]))
        blocks = [
            StoredBlock(s, await self.log.block(partition, s), 0) for s in range(state.sequence + 1, last + 1)
        ]
        state.apply(((block.sequence, decoded(block)) for block in blocks), feed=False)
        return state

    async def wholes(self) -> list[Whole]:
        """Return all that its partitions are."""
        return [whole(await self.state(partition)) for partition in range(self.partitions)]

    async def blocks(self, partition: int = 0) -> dict[int, bytes]:
        """Return a log by sequence."""
        bounds = await self.log.bounds(partition)
        return {s: await self.log.block(partition, s) for s in range(bounds.first, bounds.last + 1)}

    async def stored(self) -> dict[str, dict[str, bytes]]:
        """Return what its key-value stores hold."""
        found: dict[str, dict[str, bytes]] = {}
        for name in await self.stores.names():
            entries = await (await self.stores.open(name)).changes(0)
            found[name] = {one.key: one.value for one in entries if one.value is not None}
        return found

    async def back_up(self) -> Manifest:
        """Take a backup into its place."""
        self.now_us += 1_000
        registry = await registry_of(self.stores)
        source = Source(registry, self.log, self.snapshots, self.stores, self.code)
        return await take(source, self.place, self.told.append, lambda: self.now_us)

    async def elsewhere(self, at_us: int | None = None) -> tuple[World, Restored]:
        """Restore from its place into another one."""
        other = World(place=self.place, now_us=self.now_us, log=MemoryLog(2, "none"))
        target = Target(MemoryRebuilder(other.log), other.snapshots, other.stores, other.code)
        manifest = reaching(self.place, at_us)
        restored = await restore(self.place, manifest, target, at_us, self.told.append)
        other.numbers = itertools.count(next(self.numbers))
        return other, restored
