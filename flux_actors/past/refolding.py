"""Folding again: from a beginning, block after block, up to a target.

The blocks go through `PartitionState.apply`, as they do in a shard; of the one in which the target stands, a
part. Between two pulls others have a turn, so that a deadline around all this is kept.

Reducers run here as they do in a shard, in the version that held at each place: the catalogue comes with the
snapshot, or with the control events of the log. One that overran is decided by an order that stands later in
the log. A past between the two has the entity as it was before that event, as readers of the shard saw it
then; if here the reducer comes to an end, which has more time to do so, it has what that one made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from flux_actors import limits
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.change import Step
from flux_actors.domain.event import EventHead
from flux_actors.domain.fold import Unreadable
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import Block
from flux_actors.log.ports import EventLog, Reader, StoredBlock
from flux_actors.past.beginning import begin
from flux_actors.past.cutting import apply_up_to
from flux_actors.past.room import TOO_LARGE, Room, always, check_size
from flux_actors.past.target import Target, ThroughPosition, through_block
from flux_actors.past.wanted import FilteredState, Wanted
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.store import SnapshotStore

_PULL_S: Final = 1.0
_FoldedBlock = tuple[int, Block[EventHead] | Unreadable]


class Refolder:
    """The past of the partitions of one log.

    Arguments:
        log: holds the events.
        store: has snapshots to begin with.
        code: runs the reducers that held at each place, and is ended by whoever made it.
        room: whether a state may grow.
    """

    def __init__(self, log: EventLog, store: SnapshotStore, code: ReducerCode, room: Room = always) -> None:
        self._log = log
        self._store = store
        self._code = code
        self._room = room

    async def state(self, partition: int, prefix: str, target: Target) -> FilteredState:
        """Return the state at `target`, of namespaces to which ids beginning with `prefix` may belong.

        Raises:
            Refused: 410, that past is gone; 413, it holds too many entities.
            Unavailable: the log or the code of a reducer cannot be reached, or the log does not reach to the
                target yet.
        """
        wanted = Wanted(prefix)
        state = await self._begin(partition, wanted, target)
        async for blocks in self._blocks(state, target):
            await self._code.prepare_for(blocks, wanted.keeps)
            state.apply(_whole(target, state, wanted, blocks), feed=False)
            _cut(target, state, wanted, blocks)
            check_size(state, self._room)
        return state

    async def changes(self, partition: int, prefix: str, after: int, until_sequence: int) -> list[Step]:
        """Return the changes of entities whose ids begin with `prefix`, in log order.

        Arguments:
            partition: whose log.
            prefix: of the ids; `""` means all.
            after: the packed position behind which changes count.
            until_sequence: the last block that counts.

        Raises:
            Refused: 410, the log no longer reaches back to `after`; 413, there are too many changes.
            Unavailable: the log or the code of a reducer cannot be reached, or the log has no such block yet.
        """
        wanted, target = Wanted(prefix), through_block(until_sequence)
        found: list[Step] = []
        if target.position <= after:
            return found
        state = await self._begin(partition, wanted, ThroughPosition(after))
        async for blocks in self._blocks(state, target):
            await self._code.prepare_for(blocks, wanted.keeps)
            told = blocks[-1].sequence >= after >> limits.offset_bits
            applied = state.apply(_whole(target, state, wanted, blocks), feed=told)
            found += [step for step in applied.changes if step[0] > after and step[1].startswith(prefix)]
            check_size(state, self._room)
            if len(found) > limits.past_changes_max:
                raise Refused(
                    f"more than {limits.past_changes_max} changes have come since; read the present state",
                    TOO_LARGE,
                )
        return found

    async def _begin(self, partition: int, wanted: Wanted, target: Target) -> FilteredState:
        blank = FilteredState.blank(partition, wanted, self._room, self._code)
        state = await begin(self._log, self._store, blank, target)
        await self._code.prepare(state.acting.catalogue, wanted.keeps)
        return state

    async def _blocks(self, state: FilteredState, target: Target) -> AsyncIterator[list[StoredBlock]]:
        """Yield what the log holds behind `state`, as long as some of it may count."""
        partition = state.partition
        last = (await self._log.bounds(partition)).last
        if target.sequence is not None:
            if target.sequence > last:
                raise Unavailable(f"the log of partition {partition} has not come to that position yet")
            last = target.sequence
        reader = self._log.reader(partition, state.sequence)
        try:
            while state.sequence < last:
                blocks = await self._pull(state, reader)
                if blocks:
                    yield blocks
                    if state.sequence < min(blocks[-1].sequence, last):
                        return  # the rest of the log is later than the target
                await asyncio.sleep(0)
        finally:
            await reader.close()

    async def _pull(self, state: FilteredState, reader: Reader) -> list[StoredBlock]:
        try:
            return await reader.pull(_PULL_S)
        except Corrupt:
            bounds = await self._log.bounds(state.partition)
            if bounds.first <= state.sequence + 1:
                raise
            raise Unavailable("the log was trimmed while its past was read; ask again") from None


def _whole(
    target: Target, state: FilteredState, wanted: Wanted, blocks: list[StoredBlock]
) -> Iterator[_FoldedBlock]:
    """Yield the blocks of which everything counts; `state` has the clock of those before."""
    for stored in blocks:
        block = decoded(stored)
        if isinstance(block, Unreadable):
            if not target.begins(stored.sequence, state.clock_us):
                return
            yield stored.sequence, block
        elif target.includes(stored.sequence, max(state.clock_us, block.clock_us)):
            yield stored.sequence, wanted.of(block)
        else:
            return


def _cut(target: Target, state: FilteredState, wanted: Wanted, blocks: list[StoredBlock]) -> None:
    """Apply the block in which a position stands up to there, if it is the next one."""
    if not isinstance(target, ThroughPosition) or target.sequence != state.sequence + 1:
        return
    for stored in blocks:
        if stored.sequence == target.sequence:
            block = decoded(stored)
            if not isinstance(block, Unreadable):  # of one that is, `_whole` took the place
                apply_up_to(state, stored.sequence, wanted.of(block), target.position)
