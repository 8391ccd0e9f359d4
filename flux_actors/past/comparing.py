"""Comparing a partition as its shard has it with what its log makes of it.

The log is folded again here, from its beginning or from the oldest snapshot behind which it goes on, up to
its end. Then the shard says its digest at some sequence, and the fold goes on to there: both stand at the
same place, and the shard has not stopped for it. Where the digests differ, the shard is asked for the hashes
of single entities, at a later sequence, to which the fold goes on once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from functools import partial
from typing import Final, NamedTuple, Protocol

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.ports import EventLog, LogBounds, Reader, StoredBlock
from flux_actors.reporting import Reporter, Say
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.codec import read_header, read_snapshot, verify_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import Digest, DigestWriter, decode_digest
from flux_actors.snapshot.store import SnapshotStore

_PULL_S: Final = 1.0
_POLL_S: Final = 0.1
_BUCKETS_MAX: Final = 4  # that are looked into: a thousand entities of a million
_TRIES: Final = 3


class Compared(NamedTuple):
    """How a partition stands."""

    partition: int
    sequence: int  # at which both were compared
    since: int  # the snapshot from which the log was folded, 0 where that was its beginning
    entities: int
    left_out: int  # entities whose reducer waits for an order in the log
    different: list[str]  # what differs beside entities
    entities_different: list[str]  # some of them
    buckets_different: int  # at least so many entities differ

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.different or self.buckets_different)


class Live(Protocol):
    """Asks the shard of a partition."""

    async def digest(self, partition: int, suspended: list[str], wanted: list[int]) -> Digest:
        """Return the digest of the partition as it is now; raises `Unavailable`."""
        ...


class Comparing:
    """Compares the partitions of one log.

    Arguments:
        log: holds the events.
        store: has snapshots to begin with where the log has lost its front.
        code: runs the reducers that held at each place.
        live: asks shards.
        history_positions: the fewest positions of an entity that a shard of this log ever kept.
        say: hears how far it is.
    """

    def __init__(
        self,
        log: EventLog,
        store: SnapshotStore,
        code: ReducerCode,
        live: Live,
        history_positions: int,
        say: Say,
    ) -> None:
        self._log = log
        self._store = store
        self._code = code
        self._live = live
        self._history_positions = history_positions
        self._report = Reporter(say)

    async def compare(self, partition: int) -> Compared:
        """Compare one partition.

        Raises:
            Unavailable: log, snapshots or shard cannot be asked now.
            Corrupt: the log contradicts itself, or lacks what no snapshot has.
        """
        bounds = await self._log.bounds(partition)
        state = await self._begin(partition, bounds)
        since = state.sequence if state.sequence >= bounds.origin else 0
        fold = _Fold(state, self._log.reader(partition, state.sequence), self._code, self._report)
        try:
            await fold.go_to(bounds.last)
            return await self._compare(partition, fold, since)
        finally:
            await fold.close()

    async def _compare(self, partition: int, fold: _Fold, since: int) -> Compared:
        live, ours = await self._both(partition, fold, [])
        history = live.history_positions == self._history_positions
        buckets = ours.differing(live, history=history)
        names: list[str] = []
        if buckets:
            self._report.say(f"partition {partition} differs; looking for the entities")
            wanted = buckets[:_BUCKETS_MAX]
            names = _differing_rows(*await self._both(partition, fold, wanted), history=history)
        return Compared(
            partition,
            live.sequence,
            since,
            live.entities,
            len(live.suspended),
            sorted(name for name, found in ours.rest.items() if live.rest.get(name) != found),
            names[: limits.verify_differences_max],
            len(buckets),
        )

    async def _both(self, partition: int, fold: _Fold, wanted: list[int]) -> tuple[Digest, Digest]:
        """Return the digests of shard and fold at the same sequence, with the same entities left out."""
        suspended: list[str] = []
        for _ in range(_TRIES):
            live = await self._at_least(partition, fold.state.sequence, suspended, wanted)
            await fold.go_to(live.sequence)
            ours = _digest(fold.state, live.suspended, wanted)
            if ours.suspended == live.suspended:
                return live, ours
            suspended = ours.suspended  # here a reducer takes longer than it did there
        raise Unavailable(f"reducers of partition {partition} take too long to compare it; try again")

    async def _at_least(
        self, partition: int, sequence: int, suspended: list[str], wanted: list[int]
    ) -> Digest:
        """Return the shard's digest once it has come as far as the log was."""
        deadline = time.monotonic() + limits.backup_patience_s
        while True:
            live = await self._live.digest(partition, suspended, wanted)
            if live.sequence >= sequence:
                return live
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the shard of partition {partition} stands at {live.sequence}, the log was at "
                    f"{sequence} {limits.backup_patience_s:.0f} s ago"
                )
            await asyncio.sleep(_POLL_S)

    async def _begin(self, partition: int, bounds: LogBounds) -> PartitionState:
        if bounds.whole:
            return self._blank(partition, bounds.origin)
        for sequence in reversed(await asyncio.to_thread(self._store.sequences, partition)):
            if not bounds.first - 1 <= sequence <= bounds.last:
                continue
            try:
                state = await asyncio.to_thread(self._read, partition, sequence, bounds.log_id)
            except Corrupt as error:
                self._report.say(f"snapshot {sequence} of partition {partition} passed over: {error.message}")
                continue
            await self._code.prepare(state.acting.catalogue)
            return state
        raise Corrupt(
            f"the log of partition {partition} begins at {bounds.first}, and no snapshot reaches that: "
            "nothing says what was before"
        )

    def _blank(self, partition: int, origin: int = 1) -> PartitionState:
        state = PartitionState(partition, origin - 1, history_positions=self._history_positions)
        state.acting.reducers = self._code.of_partition(partition)
        return state

    def _read(self, partition: int, sequence: int, log_id: str) -> PartitionState:
        header = read_header(self._store.read(partition, sequence))
        if (header.log_id, header.partition) != (log_id, partition):
            raise Corrupt("it belongs to another log")
        verify_snapshot(self._store.read(partition, sequence))
        return read_snapshot(self._store.read(partition, sequence), self._blank(partition))[1]


class _Fold:
    """A state that follows its log, no further than asked."""

    def __init__(self, state: PartitionState, reader: Reader, code: ReducerCode, report: Reporter) -> None:
        self.state = state
        self._reader = reader
        self._code = code
        self._report = report
        self._ahead: list[StoredBlock] = []  # pulled, and behind what was asked for

    async def go_to(self, sequence: int) -> None:
        """Apply what stands up to a sequence."""
        while self.state.sequence < sequence:
            blocks = self._ahead or await self._reader.pull(_PULL_S)
            here = [block for block in blocks if block.sequence <= sequence]
            self._ahead = blocks[len(here) :]
            if here:
                await self._code.prepare_for(here)
                self.state.apply(((block.sequence, decoded(block)) for block in here), feed=False)
            state = self.state
            self._report.progress(
                f"partition {state.partition}: block {state.sequence} of {sequence}, "
                f"{state.events_total} events"
            )
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Give back the reader."""
        await self._reader.close()


def _digest(state: PartitionState, suspended: Collection[str], wanted: Collection[int]) -> Digest:
    cut = Cut(state, "", partial(DigestWriter, suspended=suspended, wanted=wanted))
    return decode_digest(b"".join(iter(cut.next_slice, None)))


def _differing_rows(live: Digest, ours: Digest, *, history: bool) -> list[str]:
    """Return the ids of entities whose hashes differ, or that one side alone has."""
    there, here = ({row[0]: row[2 if history else 1] for row in one.rows} for one in (live, ours))
    return sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
