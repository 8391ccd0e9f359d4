"""A cut: one partition written as it was at one sequence, while events go on being applied.

Copy on write, by entity. When the cut begins, all actors belong to it. Slice by slice, between pulls,
they are written; an actor that is about to change before its slice came is written first (the fold
calls `before_change`). Each actor carries the number of the last cut that has it, so no second index is
needed; an actor born after the cut began carries its number from birth and is left out. The dedupe ids
are append-only lists, so their cut is a list and a length.
"""

from __future__ import annotations

import msgspec

from flux_actors import limits
from flux_actors.domain.dedupe import Generation
from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.fold import PartitionState
from flux_actors.snapshot.codec import Header, SnapshotWriter


class Cut:
    """A snapshot in the making."""

    def __init__(self, state: PartitionState, log_id: str) -> None:
        self.sequence = state.sequence
        self._state = state
        self._number = state.cut_number = state.cut_number + 1
        self._actors = list(state.entities.values())
        self._next = 0
        self._early: list[EntityRow] = []
        window = state.window
        self._generations = [
            (True, window.elder, len(window.elder.ids)),
            (False, window.younger, len(window.younger.ids)),
        ]
        self._writer = SnapshotWriter(_header(state, log_id))
        state.witness = self

    def before_change(self, actor: EntityActor) -> None:
        """Write an actor that is about to change, if its slice has not come yet."""
        if actor.cut < self._number:
            actor.cut = self._number
            row = actor.row()
            if row.properties is not None:  # the actor goes on with its own dictionary
                row = msgspec.structs.replace(row, properties=dict(row.properties))
            self._early.append(row)

    def next_slice(self) -> bytes | None:
        """Return the next bytes of the snapshot, `None` when all were returned."""
        if self._generations:
            return self._slice_of_ids()
        if self._early or self._next < len(self._actors):
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
        elder, generation, length = self._generations.pop(0)
        done = limits.snapshot_slice_entities * 10
        self._writer.ids(generation.ids[:length][:done], elder=elder)
        rest = Generation(generation.start_us, generation.ids[done:length])
        if rest.ids:
            self._generations.insert(0, (elder, rest, len(rest.ids)))
        return self._writer.take()

    def _slice_of_rows(self) -> bytes:
        rows, self._early = self._early, []
        end = min(self._next + limits.snapshot_slice_entities, len(self._actors))
        for actor in self._actors[self._next : end]:
            if actor.cut < self._number:
                actor.cut = self._number
                rows.append(actor.row())
        self._next = end
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
