"""Messages to behaviours, and the outbox: those that the log has brought and whose work is not done yet.

The outbox is part of the state: an applied event puts its message in, and a later event of the log, which
says that the work is done, takes it out. So whatever crashes, a message is there until its effects are in
the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec


class MessageKind(StrEnum):
    """What brought a message."""

    CHANGE = "change"
    REMINDER = "reminder"
    TOLD = "told"


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message to the behaviour of an entity."""

    position: int  # packed, of the event that it is about
    entity_id: str
    kind: MessageKind
    clock_us: int
    state: dict[str, Any] | None  # of the entity right after it; `None` when it does not exist, or is `whole`
    properties: dict[str, Any] | None = None  # that a change set; `None` for a deletion
    previous: dict[str, Any] = {}  # the values before, of those that there were
    event_id: str = ""
    source: str = ""
    depth: int = 0  # how many effects led to it
    content: Any = None  # the name of a reminder, or what was told
    whole: bool = False  # what the change set is all of the state: it is not kept twice

    @property
    def after(self) -> dict[str, Any] | None:
        """The state of the entity right after it, `None` when it does not exist."""
        return self.properties if self.whole else self.state


class Outbox:
    """The messages of one partition, in log order."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.messages: dict[int, Message] = {}
        self._waiting: dict[str, int] = {}
        for message in messages:
            self.add(message)

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self.messages)

    @property
    def oldest(self) -> int | None:
        """The position of the oldest message, `None` when none waits."""
        return next(iter(self.messages), None)

    @property
    def waiting_max(self) -> int:
        """How many messages wait of the entity that has the most; 15 ms for a million entities."""
        return max(self._waiting.values(), default=0)

    def waiting(self, entity_id: str) -> int:
        """Return how many messages of an entity wait."""
        return self._waiting.get(entity_id, 0)

    def entities(self) -> list[str]:
        """Return the entities for which messages wait."""
        return list(self._waiting)

    def add(self, message: Message) -> None:
        """Put a message in, behind all others."""
        self.messages[message.position] = message
        self._waiting[message.entity_id] = self._waiting.get(message.entity_id, 0) + 1

    def extend(self, messages: Iterable[Message]) -> None:
        """Put messages in, behind all others, in their order."""
        waiting, found = self._waiting, self.messages
        for message in messages:
            entity_id = message.entity_id
            waiting[entity_id] = waiting.get(entity_id, 0) + 1
            found[message.position] = message

    def remove(self, positions: Iterable[int]) -> None:
        """Take messages out; one that is not there does no harm."""
        for position in positions:
            message = self.messages.pop(position, None)
            if message is not None:
                left = self._waiting[message.entity_id] - 1
                if left:
                    self._waiting[message.entity_id] = left
                else:
                    del self._waiting[message.entity_id]

    def remove_of(self, entity_id: str) -> None:
        """Take out all messages of an entity."""
        if entity_id in self._waiting:
            self.remove([p for p, one in self.messages.items() if one.entity_id == entity_id])
