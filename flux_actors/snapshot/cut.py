"""A cut: one partition written as it was at one sequence, while events go on being applied.

Copy on write, by entity. When the cut begins, all entities belong to it. Slice by slice, between pulls,
they are written; an actor that is about to change before its slice came is written first (the fold
calls `before_change`). Each actor carries the number of the last cut that has it, so no second index is
needed; an actor born after the cut began carries its number from birth and is left out. The dedupe ids
are append-only lists, so their cut is a list and a length. Messages that wait for behaviours never change:
their cut is a list of them.

Where entities leave memory, the cut goes over all ids in order and remembers the last one. At any moment,
a hot entity is written if its actor carries the cut's number; a cold one if its row does (an actor takes
its number along) or its id was passed. An actor that comes back takes its row's number, or the cut's if
its id was passed (`has_passed`). So a cut writes nothing into rows, and entities come and go meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from flux_actors import limits
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.cold import Cold
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.fold import PartitionState
from flux_actors.snapshot.codec import Behaviours, Header, SnapshotWriter, encode_row


class Writer(Protocol):
    """Makes bytes of what a cut hands to it."""

    def rows(self, encoded: list[bytes]) -> None: ...
    def ids(self, ids: list[str], *, elder: bool) -> None: ...
    def messages(self, messages: list[Message]) -> None: ...
    def take(self) -> bytes: ...
    def finish(self) -> bytes: ...


class Cut:
    """A snapshot in the making; `writer` makes something else of it."""

    def __init__(
        self, state: PartitionState, log_id: str, writer: Callable[[Header], Writer] = SnapshotWriter
    ) -> None:
        self.sequence = state.sequence
        self._state = state
        self._number = state.cut_number = state.cut_number + 1
        self._entities: _Source = _Roster(state) if state.cold is None else _InOrder(state, state.cold)
        self._early: list[bytes] = []
        window = state.window
        self._generations = [
            (True, window.elder.ids, 0, len(window.elder.ids)),
            (False, window.younger.ids, 0, len(window.younger.ids)),
        ]
        self._messages = list(state.acting.outbox.messages.values())
        self._writer = writer(_header(state, log_id))
        state.witness = self

    def before_change(self, actor: EntityActor) -> None:
        """Write an actor that is about to change, if its slice has not come yet."""
        if actor.cut < self._number:
            actor.cut = self._number
            self._early.append(encode_row(actor.row()))  # now: the actor goes on with its dictionary

    def has_passed(self, entity_id: str) -> bool:
        """Whether a cold entity of that id was written, unless its row tells so."""
        return self._entities.has_passed(entity_id)

    def next_slice(self) -> bytes | None:
        """Return the next bytes of the snapshot, `None` when all were returned."""
        if self._generations:
            return self._slice_of_ids()
        if self._messages:
            return self._slice_of_messages()
        if self._early or not self._entities.ended:
            return self._slice_of_rows()
        if self._state.witness is self:
            self._state.witness = None
            return self._writer.finish()
        return None

    @property
    def holds(self) -> bool:
        """Whether it sees every change: one that is finished, or whose place another took, does not."""
        return self._state.witness is self

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

    def _slice_of_messages(self) -> bytes:
        some = self._messages[: limits.snapshot_slice_entities]
        del self._messages[: len(some)]
        self._writer.messages(some)
        return self._writer.take()

    def _slice_of_rows(self) -> bytes:
        entities_max, bytes_max = limits.snapshot_slice_entities, limits.snapshot_slice_bytes
        rows: list[bytes] = []
        size = 0
        while self._early and len(rows) < entities_max and size < bytes_max:
            rows.append(self._early.pop())
            size += len(rows[-1])
        if size < bytes_max:
            for row in self._entities.next_rows(self._number, entities_max - len(rows)):
                if row is not None:
                    rows.append(row)
                    size += len(row)
                if size >= bytes_max:
                    break
        self._writer.rows(rows)
        return self._writer.take()


class _Source(Protocol):
    """The entities of a partition, one after the other."""

    @property
    def ended(self) -> bool: ...

    def next_rows(self, number: int, entities_max: int) -> Iterator[bytes | None]:
        """Yield the rows of the next entities, `None` for one that cut `number` has or need not have."""
        ...

    def has_passed(self, entity_id: str, /) -> bool: ...


class _Roster:
    """All actors in order of birth."""

    def __init__(self, state: PartitionState) -> None:
        self._actors = state.roster  # only grows: a list of its own would be 15 ms of a million entities
        self._end = len(state.roster)
        self._next = 0

    @property
    def ended(self) -> bool:
        return self._next == self._end

    def next_rows(self, number: int, entities_max: int) -> Iterator[bytes | None]:
        for index in range(self._next, min(self._next + entities_max, self._end)):
            self._next = index + 1
            yield _unwritten(self._actors[index], number)

    def has_passed(self, _: str) -> bool:
        return False  # nothing is cold


class _InOrder:
    """All ids in order."""

    def __init__(self, state: PartitionState, cold: Cold) -> None:
        self._state = state
        self._cold = cold
        self._passed = ""
        self.ended = False

    def next_rows(self, number: int, entities_max: int) -> Iterator[bytes | None]:
        entities = self._state.entities
        with self._cold.walk(self._passed) as ids:
            for entity_id, row in ids:
                if entity_id == self._passed:
                    continue
                if not entities_max:
                    return
                entities_max -= 1
                self._passed = entity_id
                actor = entities.get(entity_id)
                if actor is not None:
                    yield _unwritten(actor, number)
                elif row is not None and row.cut < number:
                    yield row.encoded
                else:
                    yield None
        self.ended = True

    def has_passed(self, entity_id: str) -> bool:
        return entity_id <= self._passed


def _unwritten(actor: EntityActor, number: int) -> bytes | None:
    if actor.cut >= number:
        return None
    actor.cut = number
    return encode_row(actor.row())


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
        Behaviours.of(state.acting) if state.acting.catalogue.revision else None,
    )
