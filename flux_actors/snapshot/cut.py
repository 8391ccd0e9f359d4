"""A cut: one partition written as it was at one sequence, while events go on being applied.

Copy on write, by entity. When the cut begins, all actors belong to it. Slice by slice, between pulls,
they are written; an actor that is about to change before its slice came is written first (the fold
calls `before_change`). Each actor carries the number of the last cut that has it, so no second index is
needed; an actor born after the cut began carries its number from birth and is left out. The dedupe ids
are append-only lists, so their cut is a list and a length.
"""

from __future__ import annotations

from flux_actors import limits
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.fold import PartitionState
from flux_actors.snapshot.codec import Header, SnapshotWriter, encode_row


class Cut:
    """A snapshot in the making."""

    def __init__(self, state: PartitionState, log_id: str) -> None:
        self.sequence = state.sequence
        self._state = state
        self._number = state.cut_number = state.cut_number + 1
        self._actors = state.roster  # only grows: a list of its own would be 15 ms of a million entities
        self._end = len(state.roster)
        self._next = 0
        self._early: list[bytes] = []
        window = state.window
        self._generations = [
            (True, window.elder.ids, 0, len(window.elder.ids)),
            (False, window.younger.ids, 0, len(window.younger.ids)),
        ]
        self._writer = SnapshotWriter(_header(state, log_id))
        state.witness = self

    def before_change(self, actor: EntityActor) -> None:
        """Write an actor that is about to change, if its slice has not come yet."""
        if actor.cut < self._number:
            actor.cut = self._number
            self._early.append(encode_row(actor.row()))  # now: the actor goes on with its dictionary

    def next_slice(self) -> bytes | None:
        """Return the next bytes of the snapshot, `None` when all were returned."""
        if self._generations:
            return self._slice_of_ids()
        if self._early or self._next < self._end:
            return self._slice_of_rows()
        if self._state.witness is self:
            self._state.witness = None
            return self._writer.finish()
        return None

    def abandon(self) -> None:
        """Stop watching changes; the snapshot is not finished."""
        if self._state.witness is self:
            self._state.witness = None

    def _slice_of_ids(self) -> bytes:
        elder, ids, start, length = self._generations.pop(0)
        end = min(start + limits.snapshot_slice_entities * 10, length)
        self._writer.ids(ids[start:end], elder=elder)
        if end < length:
            self._generations.insert(0, (elder, ids, end, length))
        return self._writer.take()

    def _slice_of_rows(self) -> bytes:
        entities_max, bytes_max = limits.snapshot_slice_entities, limits.snapshot_slice_bytes
        rows: list[bytes] = []
        size = 0
        while self._early and len(rows) < entities_max and size < bytes_max:
            rows.append(self._early.pop())
            size += len(rows[-1])
        end = min(self._next + entities_max - len(rows), self._end)
        while self._next < end and size < bytes_max:
            actor = self._actors[self._next]
            self._next += 1
            if actor.cut < self._number:
                actor.cut = self._number
                rows.append(encode_row(actor.row()))
                size += len(rows[-1])
        self._writer.rows(rows)
        return self._writer.take()


def _header(state: PartitionState, log_id: str) -> Header:
    return Header(
        log_id,
        state.partition,
        state.sequence,
        state.clock_us,
        state.events_total,
        list(state.committers.items()),
        [(item.position, item.reason) for item in state.poison],
        state.window.elder.start_us,
        state.window.younger.start_us,
    )
