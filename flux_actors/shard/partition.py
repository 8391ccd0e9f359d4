"""A partition hosted by a shard: its state, its phase, and what both reading and living need."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import NamedTuple, Protocol

import structlog

from flux_actors import limits
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.behaviour.equipment import Equipment
from flux_actors.domain.change import FeedMessage, Followed, Step, encode_feed
from flux_actors.domain.event import EventHead
from flux_actors.domain.fold import Applied, PartitionState, Unreadable
from flux_actors.errors import Corrupt, Moved, Unavailable
from flux_actors.log.block import Block, decode_block_heads, is_newer_version
from flux_actors.log.ports import EventLog, StoredBlock, Wire, feed_subject
from flux_actors.shard.cold_index import ColdIndex
from flux_actors.shard.counting import PartitionCounts, ShardTimes
from flux_actors.shard.index import IdIndex
from flux_actors.shard.memory import Memory
from flux_actors.shard.ring import FeedRing, KeptMessage
from flux_actors.snapshot.store import SnapshotStore
from flux_actors.surroundings import HERE

_log = structlog.get_logger(__name__)


class Phase(StrEnum):
    """Where a hosted partition is in its life."""

    RECOVERING = "recovering"
    FOLLOWING = "following"  # beside the shard that leads, to take over from it
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"  # the data contradicts itself; a human decides


class PartitionStatus(NamedTuple):
    """What a partition tells of itself."""

    partition: int
    epoch: int
    phase: str
    sequence: int
    pending: int
    events_total: int
    entities: int
    snapshot: int
    poison: int
    error: str | None
    hot: int = 0  # entities in memory, living or not
    cold: int = 0  # entities that left it
    behaviours: int = 0  # the revision of the catalogue that holds here


class PullTracer(Protocol):
    """Follows single events through a pull; see `shard/tracing.py`."""

    def begin(self, host: HostedPartition, blocks: list[StoredBlock]) -> None:
        """See a pull before it is applied."""

    def end(self, host: HostedPartition) -> None:
        """Hear that its changes were told."""


class HostedPartition:
    """One partition inside a shard."""

    def __init__(
        self,
        partition: int,
        epoch: int,
        log: EventLog,
        store: SnapshotStore,
        bus: Wire,
        history_positions: int = limits.history_positions_max,
        memory: Memory | None = None,
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.log = log
        self.store = store
        self.bus = bus
        self.phase = Phase.RECOVERING
        self.history_positions = history_positions
        self.memory = memory
        self.surroundings = HERE
        self.equipment: Equipment | None = None  # what its entities need to act, if they may
        self.dispatcher: Dispatcher | None = None  # while it runs, if its entities act
        self.told: Applied | None = None  # what the last pull brought
        self.tracer: PullTracer | None = None  # follows single events, if they are traced
        self.followed: list[Followed] = []  # of the pull that is applied
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.become(PartitionState(partition))
        self.ring = FeedRing()
        self.counts = PartitionCounts()
        self.times = ShardTimes()  # of its own, until it is hosted
        self.log_id = ""
        self.pending = 0
        self.stored_us = 0  # when the log took the newest block
        self.snapshot_sequence = 0
        self.snapshot_kept = asyncio.Event()
        self.error: str | None = None
        self.draining = False
        self.leads = asyncio.Event()  # it tells the doors and acts, once it has recovered
        self.leads.set()
        self.led = asyncio.Event()  # it does so, or did
        self.left = asyncio.Event()  # it does so no longer, and never will

    def empty_state(self) -> PartitionState:
        """Return the state before the first event, for recovery to fill; those before are not used again.

        Raises:
            Unavailable: there is no place for entities that leave memory.
        """
        blank = PartitionState(self.partition)
        if self.memory is None:
            self.equip(blank)
            return blank
        self.become(blank)  # whoever asks meanwhile does not ask the one that a failed recovery left
        state = self.memory.state(self.partition)
        self.equip(state)
        return state

    def equip(self, state: PartitionState) -> None:
        """Give a state what it needs to be folded."""
        state.history_positions = self.history_positions
        if self.equipment is not None:
            state.acting.reducers = self.equipment.reducers.of_partition(self.partition)

    def become(self, state: PartitionState) -> None:
        """Take a recovered state."""
        self.equip(state)
        self.state = state
        self.index = IdIndex(state) if state.cold is None else ColdIndex(state, state.cold)

    async def relieve(self) -> None:
        """Have entities leave memory, if it holds more than it may."""
        if self.memory is not None and self.state.cold is not None:
            await self.memory.relieve(self.partition)

    def apply(self, stored: list[StoredBlock], *, feed: bool) -> list[bytes]:
        """Apply blocks and return the feed messages, which are kept in the ring as well."""
        began = time.perf_counter()
        self.pending, self.stored_us = stored[-1].pending, stored[-1].stored_us
        after = self.state.sequence
        blocks = ((block.sequence, decoded(block)) for block in stored)
        applied = self.told = self.state.apply(blocks, feed=feed)
        self._wake()
        for item in applied.poison:
            _log.error(
                "event.set_aside", partition=self.partition, position=item.position, reason=item.reason
            )
        self.counts.set_aside += len(applied.poison)
        messages = self._messages(after, applied) if feed else []
        self.times.apply_s.observe(time.perf_counter() - began)
        return messages

    def heartbeat(self) -> bytes:
        """Return a feed message without changes."""
        return self._encode(self.state.sequence, Applied([], [], []))

    async def publish(self, messages: list[bytes]) -> None:
        """Send feed messages; a door that misses one repairs itself from the ring."""
        for data in messages:
            try:
                await self.bus.publish(feed_subject(self.partition), data)
            except Unavailable:
                self.counts.feed_failures += 1
                _log.warning("feed.lost", partition=self.partition, sequence=self.state.sequence)

    async def reached(self, sequence: int) -> None:
        """Return when everything up to a sequence is applied."""
        if self.state.sequence < sequence:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((sequence, waiting))
            await waiting

    def readable(self) -> PartitionState:
        """Return the state for readers, or say why it cannot be read now."""
        if self.phase is Phase.STOPPED:
            raise Unavailable(f"partition {self.partition} has stopped: {self.error}", 30)
        if self.phase is Phase.FOLLOWING:
            raise Moved(self.partition)
        if self.phase is Phase.RECOVERING:
            raise Unavailable(f"partition {self.partition} is recovering; read again in a second")
        return self.state

    def acts(self) -> Dispatcher:
        """Return what has its entities act, or say why nothing does now."""
        self.readable()
        if self.dispatcher is None:
            raise Unavailable(f"partition {self.partition} does not act now; try again in a second")
        return self.dispatcher

    def status(self) -> PartitionStatus:
        """Return where this partition is."""
        state = self.state
        return PartitionStatus(
            self.partition,
            self.epoch,
            self.phase.value,
            state.sequence,
            self.pending,
            state.events_total,
            state.alive,
            self.snapshot_sequence,
            len(state.poison),
            self.error,
            len(state.entities),
            state.known - len(state.entities),
            state.acting.catalogue.revision,
        )

    def _wake(self) -> None:
        if self._waiting:
            sequence = self.state.sequence
            for wanted, waiting in self._waiting:
                if wanted <= sequence and not waiting.done():
                    waiting.set_result(None)
            self._waiting = [one for one in self._waiting if not one[1].done()]

    def _messages(self, after: int, applied: Applied) -> list[bytes]:
        data = self._encode(after, applied)
        if len(data) <= limits.feed_message_bytes_max or len(applied.changes) < 2:
            self.ring.add(KeptMessage(after, self.state.sequence, data))
            return [data]
        return self._split(after, applied)

    def _split(self, after: int, applied: Applied) -> list[bytes]:
        """Cut a large message between blocks: only there a sequence number can end it."""
        messages = []
        start = after
        groups = _by_block(applied.changes)
        for number, changes in enumerate(groups, 1):
            last = number == len(groups)
            end = self.state.sequence if last else changes[-1][0] >> limits.offset_bits
            refused = [
                position for position in applied.refused if start < position >> limits.offset_bits <= end
            ]
            data = self._encode(start, Applied(changes, applied.sources, [], refused), end)
            self.ring.add(KeptMessage(start, end, data))
            messages.append(data)
            start = end
        return messages

    def _encode(self, after: int, applied: Applied, sequence: int | None = None) -> bytes:
        state = self.state
        message = FeedMessage(
            self.partition,
            self.epoch,
            after,
            state.sequence if sequence is None else sequence,
            self.pending,
            state.events_total,
            state.alive,
            applied.sources,
            applied.changes,
            list(applied.refused),
            self._followed(after, state.sequence if sequence is None else sequence),
        )
        return encode_feed(message)

    def _followed(self, after: int, sequence: int) -> list[Followed]:
        if not self.followed:
            return self.followed
        return [one for one in self.followed if after < one[0] >> limits.offset_bits <= sequence]


def decoded(block: StoredBlock) -> Block[EventHead] | Unreadable:
    """Return a block as the fold takes it.

    Raises:
        Corrupt: only a later version of Flux can read it.
    """
    try:
        return decode_block_heads(block.data)
    except Corrupt as error:
        if is_newer_version(block.data):
            raise
        return Unreadable(error.message)


def _by_block(changes: list[Step]) -> list[list[Step]]:
    """Return the changes of each block as a list of its own."""
    groups: list[list[Step]] = []
    last = -1
    for change in changes:
        sequence = change[0] >> limits.offset_bits
        if sequence == last:
            groups[-1].append(change)
        else:
            groups.append([change])
            last = sequence
    return groups
