"""The EntityShard: hosts partitions and answers doors. The Ray actor is a shell around this class."""

from __future__ import annotations

import asyncio
import os
from functools import partial

import structlog

from flux_actors import limits
from flux_actors.behaviour.equipment import Equipment
from flux_actors.domain.acting.faults import FAULTS_PREFIX
from flux_actors.domain.entity_id import CORE_NAMESPACE
from flux_actors.errors import Moved, Unavailable
from flux_actors.log.ports import EventLog, Wire
from flux_actors.shard import operating, reads
from flux_actors.shard.counting import ShardTimes
from flux_actors.shard.digesting import digest_of
from flux_actors.shard.life import live
from flux_actors.shard.listing import living_ids, page_of
from flux_actors.shard.memory import Memory
from flux_actors.shard.partition import HostedPartition, PartitionStatus, Phase, PullTracer
from flux_actors.shard.reading import changed_from, positions, readings
from flux_actors.shard.retelling import recalled, rows_behind
from flux_actors.shard.retention import FOR_EVER, Retention, Trimmer, encode_facts
from flux_actors.snapshot.store import SnapshotStore

_log = structlog.get_logger(__name__)


class EntityShard:
    """Hosts the entity actors of some partitions."""

    def __init__(
        self,
        log: EventLog,
        store: SnapshotStore,
        bus: Wire,
        partitions: int,
        history_positions: int = limits.history_positions_max,
        memory: Memory | None = None,
        retention: Retention = FOR_EVER,
    ) -> None:
        self._log = log
        self._store = store
        self._bus = bus
        self._partitions = partitions
        self._history_positions = history_positions
        self._memory = memory
        self._retention = retention
        self.equipment: Equipment | None = None  # what entities need to act, if they may
        self.times = ShardTimes()
        self.tracer: PullTracer | None = None  # if events are traced
        self._hosts: dict[int, HostedPartition] = {}
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._listing = asyncio.Lock()  # one list at a time: what lives here besides gets every second turn

    async def adopt(self, partition: int, epoch: int) -> None:
        """Begin to host a partition, lead one that is followed, or take a newer epoch."""
        host = await self._hosting(partition, epoch)
        host.epoch = max(host.epoch, epoch)
        host.leads.set()

    async def follow(self, partition: int, epoch: int) -> None:
        """Begin to fold a partition beside the shard that leads it; `adopt` has it lead."""
        await self._hosting(partition, epoch, follows=True)

    async def lead(self, partition: int, epoch: int, after: int) -> None:
        """Lead a partition that was followed, once it has come to sequence `after`; return when it does.

        Raises:
            Moved: it is not hosted any more.
        """
        host = self._host(partition)
        await host.reached(after)
        await self.adopt(partition, epoch)
        await host.led.wait()

    async def release(self, partition: int) -> int:
        """Host a partition no longer, and return its last sequence; its last snapshot is made afterwards."""
        host = self._hosts.get(partition)
        if host is None:
            return 0
        host.draining = True
        await host.left.wait()
        if self._hosts.get(partition) is host:
            del self._hosts[partition]
            life = self._lives.pop(partition)
            self._leaving[partition] = life
            life.add_done_callback(partial(self._has_left, partition))
        return host.state.sequence

    def _has_left(self, partition: int, life: asyncio.Task[None]) -> None:
        self._leaving.pop(partition, None)
        if not life.cancelled() and life.exception() is not None:
            _log.error("partition.died", partition=partition, error=repr(life.exception()))
        if self._memory is not None:
            self._memory.forget(partition)

    async def _hosting(self, partition: int, epoch: int, *, follows: bool = False) -> HostedPartition:
        """Return a hosted partition; one that is still leaving from before has its snapshot made first."""
        while leaving := self._leaving.get(partition):
            await asyncio.wait([leaving])
        host = self._hosts.get(partition)
        if host is not None:
            return host
        host = HostedPartition(
            partition,
            epoch,
            self._log,
            self._store,
            self._bus,
            history_positions=self._history_positions,
            memory=self._memory,
        )
        if follows:
            host.leads.clear()
        host.equipment, host.times, host.tracer = self.equipment, self.times, self.tracer
        self._hosts[partition] = host
        self._lives[partition] = asyncio.create_task(live(host, self._partitions, self._retention))
        return host

    async def drain(self) -> None:
        """End the life of every partition with a snapshot."""
        for host in self._hosts.values():
            host.draining = True
        ends = await asyncio.gather(*self._lives.values(), return_exceptions=True)
        for partition, end in zip(self._lives, ends, strict=True):
            if end is not None:
                _log.error("partition.died", partition=partition, error=repr(end))
        if self._leaving:
            await asyncio.wait(self._leaving.values())

    async def status(self) -> list[PartitionStatus]:
        """Return where each partition is; a life that ended in a fault is raised here."""
        for life in self._lives.values():
            if life.done() and not life.cancelled() and life.exception() is not None:
                raise Unavailable(f"a partition died: {life.exception()!r}")
        return [host.status() for host in self._hosts.values()]

    async def announce(self) -> None:
        """Have every running partition tell its place now: a door has just begun to listen."""
        for host in self._hosts.values():
            if host.phase is Phase.RUNNING:
                await host.publish([host.heartbeat()])

    def hosts(self) -> list[HostedPartition]:
        """Return the partitions that are hosted now."""
        return list(self._hosts.values())

    async def pid(self) -> int:
        """Return the process that hosts this shard."""
        return os.getpid()

    async def get(self, wanted: dict[int, list[str]]) -> bytes:
        """Return `{partition: Readings}` of the ids wanted from each partition."""
        answers = {}
        for partition, ids in wanted.items():
            state = self._host(partition).readable()
            answers[partition] = reads.Readings(state.sequence, readings(state, ids))
        return reads.encode(answers)

    async def page(self, partition: int, order: reads.PageOrder) -> bytes:
        """Return a `Page` of living entities."""
        async with self._listing:
            return reads.encode(await page_of(self._host(partition), order))

    async def rows(self, partition: int, prefix: str, after: str | None) -> bytes:
        """Return the next `Rows` of living entities whose ids begin with `prefix`."""
        async with self._listing:
            return rows_behind(self._host(partition), prefix, after)

    async def recall(self, partition: int, pattern: str, after: int, changes_max: int) -> bytes:
        """Return what happened behind a position, `Recalled`: more than `changes_max` are not looked for."""
        return await recalled(self._host(partition), pattern, after, changes_max)

    async def count(
        self, partition: int, prefix: str, veil: reads.Veil = reads.NO_VEIL, where: str | None = None
    ) -> int:
        """Return how many living entities have ids beginning with `prefix`, those behind a veil left out."""
        host = self._host(partition)
        if where is not None:
            async with self._listing:
                return sum([len(ids) async for ids in living_ids(host, prefix, veil, where)])
        state = host.readable()
        if not prefix:
            veiled = sum(state.namespaces[n].entities for n in veil.namespaces if n in state.namespaces)
            return (
                state.alive - veiled + await self._shown(host, veil) - await self._veiled_faults(host, veil)
            )
        if prefix.endswith("/") and prefix.count("/") == 1 and not veil.namespaces:
            totals = state.namespaces.get(prefix[:-1])
            return totals.entities if totals is not None else 0
        async with self._listing:
            return sum([len(ids) async for ids in living_ids(host, prefix, veil)])

    async def _shown(self, host: HostedPartition, veil: reads.Veil) -> int:
        """Return how many living entities are shown in spite of a veil."""
        if veil.shown is None:
            return 0
        async with self._listing:
            return sum([len(ids) async for ids in living_ids(host, veil.shown)])

    async def _veiled_faults(self, host: HostedPartition, veil: reads.Veil) -> int:
        """Return how many living entities are behind a veil though they are in the server's namespace."""
        if not veil.namespaces or CORE_NAMESPACE not in host.readable().namespaces:
            return 0
        async with self._listing:
            found = [ids async for ids in living_ids(host, FAULTS_PREFIX)]
        return sum(veil.hides(entity_id) for ids in found for entity_id in ids)

    async def entity_counts(self, partition: int, namespaces: list[str]) -> list[int]:
        """Return how many living entities each namespace has in a partition."""
        totals = self._host(partition).readable().namespaces
        return [totals[name].entities if name in totals else 0 for name in namespaces]

    async def matching(self, partition: int, prefix: str, limit: int) -> list[str]:
        """Return up to `limit` ids of living entities beginning with `prefix`."""
        found: list[str] = []
        async with self._listing:
            async for ids in living_ids(self._host(partition), prefix):
                found += ids
                if len(found) >= limit:
                    break
        return found[:limit]

    async def history(
        self, partition: int, entity_id: str, since_us: int, until_us: int, count: int
    ) -> list[tuple[int, int]]:
        """Return the newest positions of an entity's events with their log times, newest first."""
        kept = min(count, self._history_positions)
        return positions(self._host(partition).readable(), entity_id, since_us, until_us, kept)

    async def ever_reduced(self, partition: int, entity_id: str) -> bool:
        """Whether a reducer may ever have been for an entity."""
        return entity_id in self._host(partition).readable().acting.ever_reduced

    async def log_facts(self, partition: int) -> bytes:
        """Return the `LogFacts` of a partition, which may be recovering."""
        host = self._host(partition)
        return encode_facts(await Trimmer(host.log, host.store, partition, self._retention).facts())

    async def digest(self, partition: int, suspended: list[str], wanted: list[int]) -> bytes:
        """Return the `Digest` of a partition as it is now, without `suspended` entities."""
        return await digest_of(self._host(partition), suspended, wanted)

    async def repair(self, partition: int, after: int) -> bytes:
        """Return the `Repair` of a door whose feed stands at sequence `after`."""
        host = self._host(partition)
        state = host.readable()
        sequence = state.sequence
        messages = host.ring.since(after, sequence)
        rows = [] if messages is not None else await changed_from(state, (after + 1) << limits.offset_bits)
        return reads.encode(reads.Repair(sequence, messages, rows))

    async def namespaces(self) -> bytes:
        """Return the totals of every namespace with entities, one row per partition."""
        rows = [
            reads.NamespaceRow(name, totals.entities, totals.updated_us)
            for host in self._hosts.values()
            if host.phase is not Phase.FOLLOWING
            for name, totals in host.readable().namespaces.items()
            if totals.entities
        ]
        return reads.encode(rows)

    async def actors(self, partition: int, prefix: str, rows_max: int) -> bytes:
        """Return encoded rows of entities with behaviours, those with something to tell first."""
        async with self._listing:
            return await operating.actors(self._host(partition), prefix, rows_max)

    async def act_on(self, partition: int, verb: str, entity_id: str) -> None:
        """Kill, restart or stop the behaviour of an entity."""
        await operating.act_on(self._host(partition), verb, entity_id)

    def _host(self, partition: int) -> HostedPartition:
        try:
            return self._hosts[partition]
        except KeyError:
            raise Moved(partition) from None
