"""Copying a log that goes on: all that is there, then what has come meanwhile, again and again.

What is read waits for its turn among the other partitions (`merging.py`), is recut (`recutting.py`), and is
stored at its sequence in the next generation, many blocks at once. Everything that both logs say is in memory
meanwhile, which is what they are compared by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import Terms
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import has_control
from flux_actors.log.generations import origin_of
from flux_actors.log.ports import EventLog, LogBounds, Reader, Rebuilder, StoredBlock
from flux_actors.repartition.merging import FOR_EVER, Merge
from flux_actors.repartition.pasts import PastEnds, Pasts
from flux_actors.repartition.recutting import Recutter
from flux_actors.reporting import Reporter
from flux_actors.router.topology import LogRegistry
from flux_actors.snapshot.codec import read_header, verify_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.store import SnapshotStore

_PULL_S: Final = 1.0
_LAG_US: Final = int(limits.repartition_lag_s * 1_000_000)
_PASSES_MAX: Final = 50
_CONFLICT: Final = 409


class Present(NamedTuple):
    """The log as it is, and goes on."""

    registry: LogRegistry
    log: EventLog


class Next(NamedTuple):
    """The generation that is made."""

    registry: LogRegistry
    log: Rebuilder
    snapshots: SnapshotStore


class Hand(NamedTuple):
    """Who copies."""

    identity: int  # under which blocks are committed; nobody else's
    now_us: Callable[[], int]


class Copier:
    """Makes the next generation of a log.

    Arguments:
        present: the log.
        following: its next generation; nothing is there yet.
        code: runs the reducers that held at each place.
        history_positions: how many positions of an entity shards keep.
        hand: who copies.
        report: hears how far it is.
        pasts: where the past of namespaces' earlier owners ends.
    """

    def __init__(
        self,
        present: Present,
        following: Next,
        code: ReducerCode,
        history_positions: int,
        hand: Hand,
        report: Reporter,
        pasts: Pasts | None = None,
    ) -> None:
        registry = present.registry
        self.before, self.after = registry, following.registry
        self.hand = hand
        self._log = present.log
        self._next = following
        self._code = code
        self._report = report
        self._origin = origin_of(self.after.generation)

        def states(one: LogRegistry) -> list[PartitionState]:
            found = []
            for partition in range(one.partitions):
                origin = origin_of(one.generation)
                state = PartitionState(partition, origin - 1, history_positions=history_positions)
                state.acting.reducers = code.of_partition(partition)
                found.append(state)
            return found

        rules = self.before.partitioning(), self.after.partitioning()
        self.recutter = Recutter(*rules, states(self.before), states(self.after), hand.identity)
        self.pasts = PastEnds(pasts or {}, self.recutter.copy)
        self._merge = Merge(registry.partitions)
        self._readers: list[Reader] = []
        self._read = [origin_of(registry.generation) - 1] * registry.partitions
        self._made: dict[int, list[bytes]] = {}
        self._made_bytes = 0
        self._kept: dict[int, list[tuple[int, str]]] = {}  # the snapshot of each partition, and of which log
        self.blocks = 0  # of the copy

    @property
    def events(self) -> int:
        """How many events the log has had, as far as it was copied."""
        return sum(state.events_total for state in self.recutter.log)

    async def begin(self) -> None:
        """Make the partitions of the copy.

        Raises:
            Refused: the log was trimmed, so its events alone do not say how it became what it is.
            Unavailable: the log cannot be reached.
        """
        for partition, bounds in enumerate(await self._bounds()):
            if not bounds.whole:
                raise Refused(
                    f"the log of partition {partition} was trimmed and begins at block {bounds.first}: it "
                    "cannot be replayed from its beginning; only a log that is whole can be repartitioned",
                    _CONFLICT,
                )
        for partition in range(self.after.partitions):
            await self._next.log.make(partition, self._origin, self.after.log_id)
        self._readers = [self._log.reader(partition, last) for partition, last in enumerate(self._read)]

    async def close(self) -> None:
        """Give back what is held."""
        for reader in self._readers:
            await reader.close()

    async def catch_up(self) -> None:
        """Copy until little is left that the log has and the copy has not.

        Raises:
            Unavailable: events come faster than they are copied; or the log cannot be reached.
            Disordered: begin anew. Disagreeing: the copy decides otherwise. Corrupt: the log is damaged.
        """
        clock = asyncio.get_running_loop().time
        for _ in range(_PASSES_MAX):
            began_s = clock()
            await self._pass()
            if clock() - began_s <= limits.repartition_behind_s:
                return
        raise Unavailable("events come faster than they are copied; try again when less is going on")

    async def finish(self, ends: Sequence[int]) -> None:
        """Copy what is left of a log that is closed and ends there; raises as `catch_up`."""
        while not await self._advance(ends):
            pass
        await self._flush()

    async def add_notes(self, notes: dict[int, Terms]) -> None:
        """Store notes of our own in partitions of the copy."""
        for partition, terms in notes.items():
            state = self.recutter.copy[partition]
            self._add({partition: self.recutter.note(partition, terms, state.clock_us)})
        await self._flush()

    async def check_stored(self) -> None:
        """See that what is stored is this copy, to its end.

        Raises:
            Refused: 409, somebody has removed it, or made another one in its place, as a second run does.
        """
        partitions = range(self.after.partitions)
        try:
            found = await asyncio.gather(*(self._next.log.bounds(partition) for partition in partitions))
        except Corrupt as error:
            raise _replaced(error.message) from error
        for state, bounds in zip(self.recutter.copy, found, strict=True):
            is_ours = bounds.log_id == self.after.log_id and bounds.whole
            if not is_ours or bounds.last != state.sequence:
                raise _replaced(f"partition {state.partition} ends at {bounds.last}, not {state.sequence}")

    async def check_snapshots(self) -> None:
        """See that the snapshots which are kept are those of this copy; raises as `check_stored`."""
        for partition in range(self.after.partitions):
            try:
                found = await asyncio.to_thread(self._snapshots_of, partition)
            except Corrupt as error:
                raise _replaced(error.message) from error
            if found != self._kept.get(partition, []):
                raise _replaced(f"partition {partition} has other snapshots")

    def _snapshots_of(self, partition: int) -> list[tuple[int, str]]:
        store = self._next.snapshots
        sequences = store.sequences(partition)
        return [(one, read_header(store.read(partition, one)).log_id) for one in sequences]

    async def keep_snapshots(self) -> None:
        """Keep a snapshot of each partition of the copy, for shards to begin with."""
        store, log_id = self._next.snapshots, self.after.log_id
        for state in self.recutter.copy:
            if state.sequence < self._origin:
                continue
            sink = store.begin(state.partition, state.sequence)
            try:
                cut = Cut(state, log_id)
                for data in iter(cut.next_slice, None):
                    await asyncio.to_thread(sink.write, data)
                await asyncio.to_thread(sink.commit)
            except BaseException:
                await asyncio.to_thread(sink.abort)
                raise
            kept = store.read(state.partition, state.sequence)
            await asyncio.to_thread(verify_snapshot, kept)
            self._kept[state.partition] = [(state.sequence, log_id)]

    async def _pass(self) -> None:
        """Copy all that the log had a moment ago."""
        while not await self._advance(None):
            left = sum(bounds.last for bounds in await self._bounds()) - sum(self._read)
            self._report.progress(f"{self.events} events copied, {left + len(self._merge)} blocks to go")
        await self._flush()

    async def _advance(self, ends: Sequence[int] | None) -> bool:
        """Read and copy some; return whether all was read that was there, or stands before `ends`."""
        asked_us = self.hand.now_us()
        lasts = [bounds.last for bounds in await self._bounds()] if ends is None else ends
        await asyncio.gather(*(self._pull(partition, last) for partition, last in enumerate(lasts)))
        read = [done >= last for done, last in zip(self._read, lasts, strict=True)]
        for partition, is_read in enumerate(read):
            if is_read:
                self._merge.end(partition, asked_us - _LAG_US if ends is None else FOR_EVER)
        await self._recut()
        return all(read) and (ends is None or not len(self._merge))

    async def _pull(self, partition: int, last: int) -> None:
        ahead = self._merge.waiting(partition) >= limits.repartition_waiting_blocks
        if self._read[partition] >= last or ahead:
            return
        blocks = await self._readers[partition].pull(_PULL_S)
        if blocks:
            self._read[partition] = blocks[-1].sequence
            self._merge.add(partition, blocks)

    async def _recut(self) -> None:
        for number, (partition, stored) in enumerate(self._merge.take(), 1):
            await self._prepare(stored)
            self._add(self.recutter.recut(partition, stored))
            self.pasts.passed(partition, stored.sequence)
            if self._made_bytes >= limits.restore_bytes_max:
                await self._flush()
            if number % limits.repartition_turn_blocks == 0:
                await asyncio.sleep(0)

    async def _prepare(self, stored: StoredBlock) -> None:
        if has_control(stored.data):
            await self._code.prepare_for([stored])

    def _add(self, made: dict[int, bytes]) -> None:
        for partition, data in made.items():
            self._made.setdefault(partition, []).append(data)
            self._made_bytes += len(data)
            self.blocks += 1

    async def _flush(self) -> None:
        """Store what was made."""
        made, self._made, self._made_bytes = self._made, {}, 0
        states = self.recutter.copy
        await asyncio.gather(
            *(
                self._next.log.append(partition, states[partition].sequence - len(blocks) + 1, blocks)
                for partition, blocks in made.items()
            )
        )

    async def _bounds(self) -> list[LogBounds]:
        partitions = range(self.before.partitions)
        return await asyncio.gather(*(self._log.bounds(partition) for partition in partitions))


def _replaced(how: str) -> Refused:
    return Refused(
        f"somebody else has changed the copy ({how}); run it again when nobody else does", _CONFLICT
    )
