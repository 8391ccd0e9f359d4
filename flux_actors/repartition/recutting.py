"""Recutting: blocks of a log in, blocks of its copy out, by another rule of partitioning.

Every block is folded as its shard folds it. Events that the fold left out (they came before, or their terms
were not met) have no place in the copy; each of the others goes where the new rule says, in a block that has
the clock which the log had by then. So an entity has the same events with the same times, in the same order.
The new blocks are folded as well, from the bytes that go into the new log, and they must apply whole: what
does not would be decided otherwise, and ends the copy.

Blocks come in the order of their clocks (`merging.py`), so the clocks of the copy do not go back either.
Where they do, two doors' clocks differ by more than was allowed for; then the copy is begun anew, in the
order that is known by then.

A catalogue of behaviours is whole in every partition of the log, and goes once into each of the copy, where
the first partition has it. Around that moment an entity may take an event under the other version than it
did; `comparing.py` sees whether that made any difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from flux_actors.domain.dedupe import dedupe_key
from flux_actors.domain.event import Event, terms_in, with_terms
from flux_actors.domain.fold import PartitionState, Unreadable
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.domain.terms import BEHAVIOUR_SOURCE, Terms
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import (
    CONTROL,
    Block,
    Poison,
    decode_block,
    encode_block,
    encode_events,
    is_newer_version,
)
from flux_actors.log.ports import StoredBlock
from flux_actors.repartition.carrying import Names, Place, carried

_STREAM: Final = "flux.repartition"
_NOTE: Final = Event(
    None, None, "note", named_by_client=False, source=BEHAVIOUR_SOURCE, stream=_STREAM, timestamp_ms=0
)


class Disordered(Unavailable):
    """A block came too late for the place that it has by its clock; begin anew."""


class Disagreeing(Corrupt):
    """The copy would decide otherwise than the log has."""


class _Piece(NamedTuple):
    """An event on its way into the copy."""

    event: Event
    position: int  # in the log; a note has none, -1


class Recutter:
    """Folds a log and its copy, and makes the blocks of the copy.

    Arguments:
        before: the rule of the log.
        after: the rule of the copy.
        log: the states of the log's partitions, before the first block.
        copy: those of the copy's.
        identity: under which the blocks of the copy are committed; nobody else's.
    """

    def __init__(
        self,
        before: Partitioning,
        after: Partitioning,
        log: Sequence[PartitionState],
        copy: Sequence[PartitionState],
        identity: int,
    ) -> None:
        self.before = before
        self.after = after
        self.log = log
        self.copy = copy
        self.names = Names()
        self.touched: set[str] = set()  # entities that have changed since somebody last compared them
        self.set_aside = 0  # events and blocks that could not be read, and have no place in the copy
        self._identity = identity
        self._numbers = [0] * len(copy)

    def recut(self, partition: int, stored: StoredBlock) -> dict[int, bytes]:
        """Take the next block of a partition; return the blocks that it makes, by partition of the copy.

        Raises:
            Disordered: the copy is past its clock. Disagreeing: the copy decides otherwise.
            Corrupt: the block does not follow the one before, or a later version of Flux wrote it.
        """
        state, block = self.log[partition], _decoded(stored)
        if isinstance(block, Unreadable):
            state.apply([(stored.sequence, block)], feed=False)
            self.set_aside += 1
            return {}
        applied = state.apply([(stored.sequence, block)], feed=False)
        if applied.repeated:
            return {}
        self.set_aside += len(applied.poison)
        gone = {*applied.left_out, *applied.refused, *(item.position for item in applied.poison)}
        pieces = self._pieces(partition, stored.sequence, block, gone)
        messages = {message.position for message in applied.messages}
        return {
            target: self._append(target, some, partition, messages, state.clock_us)
            for target, some in sorted(pieces.items())
        }

    def note(self, target: int, terms: Terms, clock_us: int) -> bytes:
        """Return a block with a note of our own for a partition of the copy."""
        return self._append(target, [_Piece(with_terms(_NOTE, terms), -1)], -1, set(), clock_us)

    def _pieces(
        self, partition: int, sequence: int, block: Block[Event], gone: set[int]
    ) -> dict[int, list[_Piece]]:
        """Return what goes where."""
        found: dict[int, list[_Piece]] = {}
        targets = self.after.of_entities([event.entity_id for event in block.events])
        for position, (event, target) in enumerate(
            zip(block.events, targets, strict=True), pack(sequence, 0)
        ):
            if isinstance(event, Poison) or position in gone:
                continue
            terms = terms_in(event)
            if terms is not None and terms.is_note:
                self._add_notes(found, partition, event, terms)
                continue
            place = Place(partition, position)
            copied = event if terms is None else carried(event, terms, place, self.names)
            found.setdefault(target, []).append(_Piece(copied, position))
            if event.entity_id is not None:
                self.touched.add(event.entity_id)
        return found

    def _add_notes(self, found: dict[int, list[_Piece]], partition: int, event: Event, terms: Terms) -> None:
        """Have what is noted about behaviours be noted where it belongs in the copy."""
        notes: list[tuple[int, Terms]] = []
        control, order = terms.control, terms.order
        if control is not None:
            has = [state.acting.catalogue.revision for state in self.copy]
            notes += [(p, Terms(control=control)) for p, known in enumerate(has) if known < control.revision]
        if terms.handled is not None:
            notes += self._handled([Place(partition, position) for position in terms.handled])
        if order is not None:
            name = self.names.of(Place(partition, order.position))
            moved = replace(order, position=0 if name is None else name.position)
            notes.append((self.after.of_entity(order.entity_id), Terms(order=moved)))
            self.touched.add(order.entity_id)
        for target, one in notes:
            found.setdefault(target, []).append(_Piece(with_terms(event, one), -1))

    def _handled(self, places: list[Place]) -> list[tuple[int, Terms]]:
        names: dict[int, list[int]] = {}
        for place in places:
            name = self.names.of(place)
            if name is not None:
                names.setdefault(name.partition, []).append(name.position)
        self.names.done(places)
        return [(target, Terms(handled=positions)) for target, positions in names.items()]

    def _append(
        self, target: int, pieces: list[_Piece], partition: int, messages: set[int], clock_us: int
    ) -> bytes:
        """Make a block of pieces, and apply it to the copy."""
        state = self.copy[target]
        if clock_us < state.clock_us:
            raise Disordered(f"a block of partition {partition} came later than its clock says; begin anew")
        sequence = state.sequence + 1
        for index, piece in enumerate(pieces):
            if piece.position in messages:
                name = Place(target, pack(sequence, index))
                self.names.note(Place(partition, piece.position), name)
        events = [_fresh(piece.event, state) for piece in pieces]
        data = self._encoded(target, events, clock_us)
        applied = state.apply([(sequence, decode_block(data))], feed=False)
        if applied.left_out or applied.refused or applied.poison or applied.repeated:
            raise Disagreeing(
                f"an event of partition {partition} would not apply in partition {target} of the copy"
            )
        return data

    def _encoded(self, target: int, events: list[Event], clock_us: int) -> bytes:
        self._numbers[target] += 1
        found = [terms for event in events if (terms := terms_in(event)) is not None]
        flags = CONTROL if any(terms.control is not None for terms in found) else 0
        encoded = [encode_events(events)]
        return encode_block(
            self._identity,
            self._numbers[target],
            clock_us,
            encoded,
            len(events),
            termed=bool(found),
            flags=flags,
        )


def _decoded(stored: StoredBlock) -> Block[Event] | Unreadable:
    try:
        return decode_block(stored.data)
    except Corrupt as error:
        if is_newer_version(stored.data):
            raise
        return Unreadable(error.message)


def _fresh(event: Event, state: PartitionState) -> Event:
    """Return an event that the copy takes: its window may remember an id that the log's had forgotten."""
    if not event.named_by_client or not state.window.seen(dedupe_key(event.entity_id or "", event.event_id)):
        return event
    return replace(event, named_by_client=False)


def closing_block(identity: int, clock_us: int) -> bytes:
    """Return a block that changes nothing, to be the last of a partition of a log."""
    note = encode_events([with_terms(_NOTE, Terms(handled=[]))])
    return encode_block(identity, 1, clock_us, [note], 1, termed=True)
