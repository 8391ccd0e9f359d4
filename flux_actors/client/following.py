"""Following some entities over many connections: what to ask for at each, and what to tell of the answers.

Nothing here knows a socket. A watch is asked for as deltas, which bear their positions, whatever its reader
wants: so it is known how far each pattern was told, and the next connection, at whatever door, begins there.
No two patterns name the same entity (`widest`), and of one pattern all comes in the order of the log.

A watch that broke off before all of the state that it begins with had come begins anew. That it has come,
the server says (`live`), and where in the log that was; a change that comes says so, too. Changes that a
state had in it may then be told once more after a break, and are known by their positions. What is told to
one who was too slow is in no order, and marked; after it, the order is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from flux_actors.domain.pattern import names, prefix_of, widest
from flux_actors.domain.place import Place, positions_of
from flux_actors.domain.position import Packed
from flux_actors.errors import Refused

Message = dict[str, Any]
_ABOUT_ENTITIES: Final = frozenset({"delta", "entity_deleted", "left"})


class Wish(msgspec.Struct, frozen=True):
    """How some entities are watched.

    `position` is where to begin, instead of with the present state (`initial`) or with nothing. With `delta`
    a reader is told one message per event instead of one per property.
    """

    patterns: tuple[str, ...]
    where: str | None = None
    fields: tuple[str, ...] = ()
    position: str | None = None
    initial: bool = True
    delta: bool = False


class _Pattern:
    """How far one pattern was told."""

    def __init__(self, name: str, position: str | None) -> None:
        self.name = name
        self.place = None if position is None else Place.of(position)
        self.confirmed = False  # by the server, on this connection
        self.whole = position is not None  # nothing of the state that it begins with is missing


class Following:
    """What one watch asks for and tells."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._patterns: list[_Pattern] = []
        self._seen: dict[
            str, tuple[int, Packed]
        ] = {}  # states that are ahead of what is told of their pattern

    @property
    def resumes(self) -> bool:
        """Whether the next connection can go on where the last one ended."""
        return bool(self._patterns) and all(one.whole and one.place for one in self._patterns)

    def requests(self) -> list[Message]:
        """Return what to send on a new connection."""
        if not self.resumes:
            self._seen.clear()
            self._patterns = [_Pattern(name, self._wish.position) for name in widest(self._wish.patterns)]
        for pattern in self._patterns:
            pattern.confirmed = False
        return [self._request(number, pattern) for number, pattern in enumerate(self._patterns)]

    def take(self, message: Message) -> Iterator[Message]:
        """Yield what a reader is to be told of a message.

        Raises:
            Refused: the server will not have the watch.
        """
        kind = message.get("type")
        if kind == "error":
            raise Refused(str(message.get("error", "the server refused the subscription")))
        if kind == "subscribed":
            self._confirm(message)
        elif kind == "state":
            yield from self._state(message)
        elif kind in _ABOUT_ENTITIES:
            yield from self._change(message)
        elif kind == "live":
            self._begin_live(message)
        elif kind == "resync":
            self._forget(str(message.get("entity_id")))
            yield message
        elif kind != "state_update":  # these are of the time before the first subscription
            yield message

    def _request(self, number: int, pattern: _Pattern) -> Message:
        wish = self._wish
        request: Message = {"type": "subscribe", "id": _id_of(number), "entity_id": pattern.name}
        request |= {"format": "delta", "live": True}
        if pattern.place:
            request["from"] = pattern.place.text
        if wish.initial:
            request["initial"] = True
        if wish.where is not None:
            request["where"] = wish.where
        if wish.fields:
            request["fields"] = list(wish.fields)
        return request

    def _confirm(self, message: Message) -> None:
        for number, pattern in enumerate(self._patterns):
            if message.get("id") == _id_of(number):
                pattern.confirmed = True
                if pattern.place is None and message.get("position"):
                    pattern.place = Place.of(message["position"])
                    pattern.whole = not self._wish.initial

    def _begin_live(self, message: Message) -> None:
        """Hear that all has come that a pattern begins with."""
        for pattern in self._patterns:
            if pattern.name == message.get("entity_id"):
                pattern.place, pattern.whole = Place.of(message["position"]), True
                self._seen = {one: seen for one, seen in self._seen.items() if not names(pattern.name, one)}

    def _state(self, message: Message) -> Iterator[Message]:
        entity_id = message["entity"]["id"]
        pattern = self._pattern_of(entity_id)
        if pattern is None:
            return
        for partition, position in positions_of(message["position"]).items():
            if pattern.place is not None and not pattern.place.has(partition, position):
                self._seen[entity_id] = partition, position
        pattern.whole = pattern.whole or prefix_of(pattern.name) is None
        yield message

    def _change(self, message: Message) -> Iterator[Message]:
        entity_id = message["entity_id"]
        pattern = self._pattern_of(entity_id)
        if pattern is None:
            return
        known = False
        for partition, position in positions_of(message["position"]).items() if "position" in message else ():
            known = self._has(entity_id, partition, position)
            if "conflated" not in message and pattern.place is not None:
                pattern.place.move(partition, position)
                pattern.whole = True
        if not known:
            yield from self._told(message)

    def _has(self, entity_id: str, partition: int, position: Packed) -> bool:
        """Whether a change is in a state that was told; each state is asked until something newer comes."""
        seen = self._seen.get(entity_id)
        if seen is None:
            return False
        if seen[0] == partition and position <= seen[1]:
            return True
        del self._seen[entity_id]
        return False

    def _told(self, message: Message) -> Iterator[Message]:
        if self._wish.delta:
            yield message
        elif message["type"] != "delta":
            yield {name: value for name, value in message.items() if name != "position"}
        else:
            for name, value in message["properties"].items():
                yield {
                    "type": "state_update",
                    "entity_id": message["entity_id"],
                    "property": name,
                    "value": value,
                    "timestamp": message["timestamp"],
                }

    def _forget(self, name: str) -> None:
        """Hear that what was told of a pattern no longer counts: the next connection begins anew."""
        for pattern in self._patterns:
            if pattern.name == name:
                pattern.place, pattern.whole = None, False
        self._seen = {one: seen for one, seen in self._seen.items() if not names(name, one)}

    def _pattern_of(self, entity_id: str) -> _Pattern | None:
        """Return the pattern that an entity is told for, `None` while it is not asked for."""
        found = (one for one in self._patterns if one.confirmed and names(one.name, entity_id))
        return next(found, None)


def _id_of(number: int) -> str:
    return f"watch-{number}"
