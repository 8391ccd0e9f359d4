"""Keeping in memory only what is asked for.

Dedupe goes by namespace, so all events of a namespace that is asked for are folded as they are. One of
another namespace changes nothing that is asked for: a stand-in keeps its place, and its id, for the window of
a partition counts the ids of all; the stand-ins of a namespace share one entity, which never lives.

Conditions need no more than that: an atomic batch is of one namespace. Notes about behaviours are of no
namespace and pass as they are; the stand-in of an effect keeps its cause, by which its repeats are known. Of
messages that wait for behaviours no more is kept than whose they are: too many stop an entity, and nobody
reads them here. One thing is not exact: the id of a
write that was refused in another namespace counts as remembered here, so the window may turn over a little
early. That shows in a retry alone that came later than retries are promised to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.domain.acting.messages import Message, Outbox
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Event, EventHead, terms_in, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import Terms
from flux_actors.log.block import Block, Poison
from flux_actors.past.room import Room, always, check_size

_NAMELESS: Final = Event(None, None, "", named_by_client=False, source="", stream="", timestamp_ms=0)


class Wanted:
    """Which entities are kept: all of the namespaces to which ids that begin with `prefix` may belong."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[str, bool] = {}

    def keeps(self, entity_id: str) -> bool:
        """Whether an entity's namespace is asked for."""
        namespace = namespace_of(entity_id)
        kept = self._known.get(namespace)
        if kept is None:
            kept = self._known[namespace] = self._asks_for(namespace)
        return kept

    def of(self, block: Block[EventHead]) -> Block[EventHead]:
        """Return a block with stand-ins for the events of other namespaces."""
        if not self._prefix:
            return block
        return block._replace(events=[self._of_event(event) for event in block.events])

    def _of_event(self, event: EventHead | Poison) -> EventHead | Poison:
        entity_id = event.entity_id
        if entity_id is None or not isinstance(event, EventHead) or self.keeps(entity_id):
            return event
        terms = terms_in(event) if isinstance(event, Event) else None
        if terms is not None and terms.cause is not None:
            return with_terms(self._stand_in(event, entity_id), Terms(cause=terms.cause))
        return self._stand_in(event, entity_id)

    def _stand_in(self, event: EventHead, entity_id: str) -> Event:
        if not event.named_by_client:
            return _NAMELESS
        namespace = namespace_of(entity_id)
        return msgspec.structs.replace(
            _NAMELESS,
            entity_id=f"{namespace}/" if namespace else "",
            event_id=event.event_id,
            named_by_client=True,
        )

    def _asks_for(self, namespace: str) -> bool:
        if "/" in self._prefix:
            return namespace == namespace_of(self._prefix)
        return not namespace or namespace.startswith(self._prefix)


@dataclass(slots=True)
class FilteredState(PartitionState):
    """A state that takes in some of a snapshot's entities, without their histories, and counts the others."""

    keeps: Callable[[str], bool] = bool
    room: Room = always
    passed_over: int = 0

    @classmethod
    def blank(cls, partition: int, wanted: Wanted, room: Room, code: ReducerCode) -> FilteredState:
        """Return the state before the first event, whose reducers `code` has."""
        state = cls(partition, history_positions=0, keeps=wanted.keeps, room=room)
        state.acting.outbox = _Whose()
        state.acting.reducers = code.of_partition(partition)
        return state

    def like(self) -> FilteredState:
        """Return another one before the first event."""
        state = FilteredState(self.partition, history_positions=0, keeps=self.keeps, room=self.room)
        state.acting.outbox = _Whose()
        state.acting.reducers = self.acting.reducers
        return state

    @property
    def known(self) -> int:
        """How many entities a snapshot held, kept or not."""
        return len(self.entities) + self.passed_over

    def adopt_rows(self, rows: Sequence[Any]) -> None:
        kept = [_without_history(row) for row in rows if self.keeps(row.entity_id)]
        self.passed_over += len(rows) - len(kept)
        PartitionState.adopt_rows(self, kept)  # a class with slots is made anew, so super() would not know it
        check_size(self, self.room)


class _Whose(Outbox):
    """An outbox that knows whose messages wait, and nothing of what is in them."""

    def add(self, message: Message) -> None:
        super().add(_envelope(message))

    def extend(self, messages: Iterable[Message]) -> None:
        super().extend([_envelope(message) for message in messages])


def _envelope(message: Message) -> Message:
    """Return a message without what is in it."""
    return Message(message.position, message.entity_id, message.kind, message.clock_us, None)


def _without_history(row: EntityRow) -> EntityRow:
    return msgspec.structs.replace(row, history=b"")
