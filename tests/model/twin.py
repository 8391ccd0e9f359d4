"""The in-memory twin of the engine: real shard, fold, feed and view, over the twins of log and snapshots.

Nothing runs by itself: the state machine hands each partition its pulls, so it may deliver partitions
in any order, cut in the middle of a stream of changes, and kill between any two steps.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any
from unittest.mock import patch

from flux_actors import limits
from flux_actors.domain.entity import EntityRow, etag_of, render
from flux_actors.domain.event import Event, TermedEvent, parse_event
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed, pack, unpack
from flux_actors.feed.feeds import Feeds, PartitionFeed
from flux_actors.log.block import decode_block, encode_event
from flux_actors.log.committer import Committer
from flux_actors.log.memory import MemoryBus, MemoryLog, MemoryReader
from flux_actors.past.answering import Answering
from flux_actors.past.target import ThroughPosition
from flux_actors.shard import entity_shard
from flux_actors.shard.entity_shard import EntityShard
from flux_actors.shard.memory import Memory
from flux_actors.shard.partition import HostedPartition, Phase
from flux_actors.shard.recovering import recover
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_actors.tenancy.registry import Registry
from flux_api.atomic import made_whole
from flux_api.incoming import envelope_of
from flux_api.past import DoorPast
from flux_api.view import LiveView
from tests.model.world import DELETED, Acked, Draft, Observed, Place, Seen, text_of
from tests.unit.domain.strategies import rows_of
from tests.unit.past.folding import no_reducers

PARTITIONS = 3
DOORS = 2
TURNS_MAX = 200
FOREVER_US = 1 << 62


class TwinDriver:
    """An engine of several partitions without threads, clocks or processes of its own."""

    restarts_max = 1_000
    tells_refusals = False
    writes_without_shards = True

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.log = MemoryLog(PARTITIONS)
        self.store = MemorySnapshotStore()
        self.bus = MemoryBus()
        self.rule = Partitioning(PARTITIONS, frozenset({"wide"}))
        self.clocks_us = [1_000_000] * DOORS
        self.hosts: dict[int, HostedPartition] = {}
        self.events_total = 0
        self._epoch = 0
        self._doors = [[self._committer(door, p) for p in range(PARTITIONS)] for door in range(DOORS)]
        self._turns = itertools.count()
        self.restart()
        self.open_door()

    def publish(self, draft: Draft, *, answer_lost: bool) -> Acked:
        self.log.lose_acks = int(answer_lost)
        (acked,) = self.publish_batch([draft])
        return acked

    def publish_batch(self, drafts: Sequence[Draft]) -> list[Acked]:
        return self._publish(drafts, [self._event(draft.body(draft.entity_id)) for draft in drafts])

    def publish_if(self, draft: Draft) -> Acked | None:
        (acked,) = self.publish_batch([draft])
        return acked

    def publish_whole(self, drafts: Sequence[Draft]) -> list[Acked] | None:
        events = [self._event(draft.body(draft.entity_id)) for draft in drafts]
        committer = self._doors[0][self.rule.of_entity(drafts[0].entity_id)]
        return self._publish(drafts, [*made_whole([*events], self.rule, committer)])

    def _publish(self, drafts: Sequence[Draft], events: Sequence[Any]) -> list[Acked]:
        groups: dict[int, list[int]] = {}
        for index, draft in enumerate(drafts):
            groups.setdefault(self.rule.of_entity(draft.entity_id), []).append(index)
        committers = self._doors[next(self._turns) % DOORS]
        acked: dict[int, Acked] = {}
        for partition, indexes in groups.items():
            encoded = [encode_event(events[index]) for index in indexes]
            termed = any(isinstance(events[index], TermedEvent) for index in indexes)
            outcomes = self.run(committers[partition].commit(encoded, termed=termed))
            for index, position in zip(indexes, outcomes, strict=True):
                assert isinstance(position, int), position
                acked[index] = Acked(events[index].event_id, (partition, *unpack(Packed(position))))
        return [acked[index] for index in range(len(drafts))]

    @staticmethod
    def _event(body: Any) -> Event:
        return parse_event(envelope_of(body), time.time_ns() // 1_000_000, uuid.uuid4().hex)

    def delete(self, entity_id: str) -> Acked:
        return self.publish(Draft(entity_id, {DELETED: True}), answer_lost=False)

    def resend_block(self, entity_id: str) -> None:
        partition = self.rule.of_entity(entity_id)
        last = self.run(self.log.bounds(partition)).last
        data = self.run(self.log.block(partition, last))
        self.run(self.log.append(partition, data, f"again-{next(self._turns)}", 1.0))

    def damage_block(self, partition: int) -> None:
        """Store a block that nobody can read."""
        self.run(self.log.append(partition, b"FX\x01 torn", f"torn-{next(self._turns)}", 1.0))

    def read(self, entity_id: str) -> Seen | None:
        partition = self.rule.of_entity(entity_id)
        while self._pull(partition, limits.pull_blocks):
            pass
        last = self.run(self.log.bounds(partition)).last
        entity = self.run(self._read(entity_id, partition, last))
        if not entity.lives:
            return None
        return _seen(entity.body(), entity.etag)

    def read_at(self, entity_id: str, place: Place) -> Seen | None:
        partition, sequence, offset = place
        while self._pull(partition, limits.pull_blocks):
            pass
        target = ThroughPosition(pack(sequence, offset))
        answers = []
        for complete_below in (0, limits.history_positions_max):  # by folding, and the short way
            past = DoorPast(
                Answering(self.log, self.store, no_reducers()),
                _Calls(self),
                self.log,
                Registry(),
                complete_below,
            )
            answers.append(self.run(past.entity(partition, entity_id, target)))
        assert answers[0] == answers[1]
        return None if answers[0] is None else _of_row(partition, answers[0])

    def deliver(self, turn: int, blocks: int) -> None:
        self._pull(turn % PARTITIONS, blocks)

    def snapshot(self, turn: int, slices: int) -> None:
        partition = turn % PARTITIONS
        for _ in range(slices):
            self.run(self._snapshotters[partition].written())
            self.run(self._snapshotters[partition].step())

    def memory(self) -> Memory | None:
        """Return the memory of a new shard: here everything stays in it."""
        return None

    def damage_snapshot(self, partition: int) -> None:
        """Change a byte of the newest snapshot, if there is one."""
        for sequence in self.store.sequences(partition)[:1]:
            self.store.damage(partition, sequence)

    def crash(self) -> None:
        self.hosts = {}

    def restart(self) -> None:
        self._epoch += 1
        self.run(self._start_shard())

    def open_door(self) -> None:
        """Forget the door's view and feeds, and start others."""
        self.run(self._open_door())

    def observe(self, entity_ids: Sequence[str]) -> Observed:
        self.run(self._yield())
        states = [host.state for host in self.hosts.values()]
        rows = [row for host in self.hosts.values() for row in self._pages(host)]
        assert sum(state.alive for state in states) == len(rows)
        answer = self.run(self.door.get_many([row.entity_id for row in rows])) if self._in_place() else None
        bodies = {row.entity_id: row for row in rows}
        entities = {name: _of_row(self.rule.of_entity(name), row) for name, row in bodies.items()}
        if answer is not None:
            assert {entity.entity_id: _seen(entity.body(), entity.etag) for entity in answer} == entities
        histories = {name: self._history(name) for name in entity_ids}
        return Observed(entities, histories, {state.partition: state.sequence for state in states})

    def close(self) -> None:
        self.run(self.feeds.close())
        self.run(self.door.close())
        self.run(self._yield())
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def replayed(self, partition: int, sequence: int) -> PartitionState:
        """Return the fold of the log from its start up to `sequence`, one block at a time."""
        return self._apply_behind(PartitionState(partition), sequence)

    def from_snapshots(self, partition: int, sequence: int) -> list[PartitionState]:
        """Return each kept snapshot with the tail of the log behind it, up to `sequence`."""
        states = []
        for kept in self.store.sequences(partition):
            _, state = read_snapshot(self.store.read(partition, kept))
            states.append(self._apply_behind(state, sequence))
        return states

    def _apply_behind(self, state: PartitionState, sequence: int) -> PartitionState:
        host = HostedPartition(state.partition, 0, self.log, self.store, MemoryBus())
        host.become(state)
        reader = self.log.reader(state.partition, state.sequence)
        while host.state.sequence < sequence:
            host.apply(self.run(_pull_from(reader, 1)), feed=False)
        return host.state

    def _committer(self, door: int, partition: int) -> Committer:
        return Committer(self.log, partition, 1_000 + door, lambda: self.clocks_us[door])

    def _pull(self, partition: int, blocks: int) -> bool:
        pulled = self.run(_pull_from(self._readers[partition], blocks))
        if pulled:
            host = self.hosts[partition]
            self.run(host.publish(host.apply(pulled, feed=True)))
        return bool(pulled)

    def _in_place(self) -> bool:
        """Whether the door has heard all that the shards applied."""
        return all(
            part.sequence == self.hosts[part.partition].state.sequence and not part.repairing
            for part in self.feeds.parts
        )

    def _pages(self, host: HostedPartition) -> list[Any]:
        rows: list[Any] = []
        after: str | None = None
        host.index.refresh()
        while True:
            actors, after = host.index.living("", after, 2)
            rows += [EntityRow(one.entity_id, one.properties, one.position, one.updated_us) for one in actors]
            if after is None:
                assert [row.entity_id for row in rows] == sorted(row.entity_id for row in rows)
                return rows

    def _history(self, entity_id: str) -> list[str]:
        partition = self.rule.of_entity(entity_id)
        found = self.run(self.shard.history(partition, entity_id, 0, FOREVER_US, 500))
        places = [unpack(position) for position, _ in reversed(found)]
        return [self._event_id(partition, sequence, offset) for sequence, offset in places]

    def _event_id(self, partition: int, sequence: int, offset: int) -> str:
        event = decode_block(self.run(self.log.block(partition, sequence))).events[offset]
        return event.event_id

    async def _read(self, entity_id: str, partition: int, sequence: int) -> Any:
        for _ in range(TURNS_MAX):
            part = self.feeds.parts[partition]
            if part.sequence is not None and part.sequence >= sequence and not part.repairing:
                return await self.door.get(entity_id)
            host = self.hosts[partition]
            await host.publish([host.heartbeat()])
            await asyncio.sleep(0)
        raise AssertionError(f"the door did not come to {sequence} of partition {partition}")

    async def _start_shard(self) -> None:
        hosts = self.hosts

        async def live_by_hand(host: HostedPartition, *_: Any) -> None:
            hosts[host.partition] = host

        self.shard = EntityShard(self.log, self.store, self.bus, PARTITIONS, memory=self.memory())
        with patch.object(entity_shard, "live", live_by_hand):
            for partition in range(PARTITIONS):
                await self.shard.adopt(partition, self._epoch)
            await self._yield()
        for host in hosts.values():
            await recover(host)
            host.phase = Phase.RUNNING
        self._readers = {p: self.log.reader(p, host.state.sequence) for p, host in hosts.items()}
        self._snapshotters = {p: Snapshotter(host, 0.0) for p, host in hosts.items()}

    async def _open_door(self) -> None:
        if hasattr(self, "feeds"):
            await self.feeds.close()
            await self.door.close()
        parts = [PartitionFeed(partition) for partition in range(PARTITIONS)]
        calls = _Calls(self)
        self.door = LiveView(self.rule, calls, lambda partition: parts[partition].sequence)
        self.feeds = Feeds(parts, self.bus, calls, _ViewAlone(self.door), lambda _: None)
        await self.feeds.open()
        await self.feeds.ask_for_places()

    async def _yield(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


class _Calls:
    """The door's way to the shard: straight to the object."""

    def __init__(self, driver: TwinDriver) -> None:
        self._driver = driver

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        return await getattr(self._driver.shard, method)(*arguments)

    def owner(self, partition: int) -> str:
        return "shard"


class _ViewAlone:
    """A feed's listener without sockets."""

    def __init__(self, view: LiveView) -> None:
        self._view = view

    @property
    def listens(self) -> bool:
        return self._view.listens

    def on_changes(self, changes: list[Any]) -> None:
        self._view.on_changes(changes)

    def on_lost(self, partition: int, rows: list[Any]) -> None:
        self._view.forget(partition)


async def _pull_from(reader: MemoryReader, blocks: int) -> list[Any]:
    with patch.object(limits, "pull_blocks", blocks):
        return await reader.pull(0)


def _of_row(partition: int, row: EntityRow) -> Seen:
    return _seen(render(row), etag_of(partition, row.position))


def _seen(body: bytes, etag: str) -> Seen:
    entity = json.loads(body)
    return Seen(text_of(entity["properties"]), etag, entity["lastUpdated"])


def bytes_of(state: PartitionState) -> bytes:
    """Return a partition's state as bytes that are equal only for equal states."""
    window = state.window
    parts = (
        (state.partition, state.sequence, state.clock_us, state.events_total, state.alive),
        [
            (row.entity_id, row.properties, row.position, row.updated_us, row.history)
            for row in rows_of(state)
        ],
        sorted((name, t.entities, t.updated_us) for name, t in state.namespaces.items()),
        [(generation.start_us, generation.ids) for generation in (window.elder, window.younger)],
        list(state.committers.items()),
        [tuple(item) for item in state.poison],
    )
    return repr(parts).encode()
