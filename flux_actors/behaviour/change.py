"""What handlers see of an event: the event itself, and the change that it made of their entity."""

from __future__ import annotations

from typing import Any

from flux_actors.domain.acting.messages import Message
from flux_actors.domain.acting.reducers import Fact
from flux_actors.domain.position import Packed, text_of


class SeenEvent:
    """One event of an entity.

    Attributes:
        id: that its publisher gave it, or Flux.
        source: who published it.
        time_us: when it was committed, by the log's clock, in microseconds since 1970.
        position: where it stands in the log, as text.
        properties: that it sets; `{}` when it deletes its entity.
    """

    __slots__ = ("_packed", "_partition", "id", "properties", "source", "time_us")

    def __init__(
        self, partition: int, packed: int, properties: dict[str, Any], id_: str, source: str, time_us: int
    ) -> None:
        self._partition = partition
        self._packed = packed
        self.properties = properties
        self.id = id_
        self.source = source
        self.time_us = time_us

    @classmethod
    def of_fact(cls, partition: int, fact: Fact) -> SeenEvent:
        """Return what a reducer sees."""
        return cls(partition, fact.position, fact.properties, fact.event_id, fact.source, fact.clock_us)

    @property
    def position(self) -> str:
        """Where it stands in the log, as text."""
        return text_of(self._partition, Packed(self._packed))

    def __repr__(self) -> str:
        return f"<event {self.id} at {self.position}>"


class Change:
    """What an event changed of an entity.

    Attributes:
        properties: that it set, `None` for those that it took away; `{}` when it deleted the entity.
        deleted: whether it deleted the entity.
        previous: the values before, of those properties that there were.
    """

    __slots__ = ("_event", "_message", "_partition", "deleted", "previous", "properties")

    def __init__(self, partition: int, message: Message) -> None:
        properties = message.properties
        self.deleted = properties is None
        # A handler may write into it; where it is the state as well, into one of its own.
        own = properties.copy() if message.whole and properties is not None else properties
        self.properties: dict[str, Any] = own or {}
        self.previous = message.previous
        self._partition = partition
        self._message = message
        self._event: SeenEvent | None = None

    @property
    def position(self) -> str:
        """Where it stands in the log, as text: also the entity's ETag right after it."""
        return text_of(self._partition, Packed(self._message.position))

    @property
    def event(self) -> SeenEvent:
        """The event that made it."""
        if self._event is None:
            said = self._message
            self._event = SeenEvent(
                self._partition, said.position, self.properties, said.event_id, said.source, said.clock_us
            )
        return self._event

    def __repr__(self) -> str:
        return f"<change {'deleted' if self.deleted else self.properties} at {self.position}>"
