"""The dict model of the world: what the entities must be after a list of events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DELETED = "__deleted__"
Place = tuple[int, int, int]  # partition, sequence, offset: a position's text with its dots taken out


def place_of(text: str) -> Place:
    """Return the place of a position's text, e.g. of an ETag."""
    partition, sequence, offset = text.strip('"').split(".")
    return int(partition), int(sequence), int(offset)


class Draft(NamedTuple):
    """An event to be published; without an id the server gives it one."""

    entity_id: str
    properties: dict[str, Any]
    event_id: str | None = None
    condition: dict[str, Any] | None = None

    def body(self, entity_id: str) -> dict[str, Any]:
        """Return the JSON object that a client sends, under the id that the log knows."""
        payload = {"entity_id": entity_id, "properties": self.properties}
        named = {} if self.event_id is None else {"eventId": self.event_id}
        asked = {} if self.condition is None else {"condition": self.condition}
        return {"stream": "model", "source": "model", "payload": payload, **named, **asked}


class Acked(NamedTuple):
    """What the engine answered to a publish."""

    event_id: str
    place: Place


class Seen(NamedTuple):
    """An entity as a reader sees it; `body` is the text of its properties, so 1, 1.0 and true differ."""

    body: str
    etag: str
    last_updated: str


class Observed(NamedTuple):
    """All that is visible now; `reached` tells how far each partition is, `None` that all is in."""

    entities: dict[str, Seen]
    histories: dict[str, list[str]]
    reached: dict[int, int] | None


class Expected(NamedTuple):
    """An entity as it must be."""

    body: str
    etag: str


def text_of(properties: dict[str, Any]) -> str:
    """Return properties as text that tells apart all that JSON tells apart."""
    return json.dumps(properties, sort_keys=True)


@dataclass
class World:
    """Acknowledged events in the order of their acknowledgement; the first of an eventId wins."""

    kept: list[tuple[Draft, Acked]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def take(self, draft: Draft, acked: Acked) -> None:
        key = (draft.entity_id, acked.event_id)
        if key not in self.seen:
            self.seen.add(key)
            self.kept.append((draft, acked))

    def meets(self, draft: Draft) -> bool:
        """Whether an event applies, all that came before being as it is."""
        if draft.event_id is not None and (draft.entity_id, draft.event_id) in self.seen:
            return True  # it is the retry of one that did
        entity = self.entities().get(draft.entity_id)
        match draft.condition:
            case None:
                return True
            case {"etag": str(etag)}:
                return entity is not None and entity.etag == etag
            case {"absent": True}:
                return entity is None
        return entity is not None

    def named(self) -> list[Draft]:
        """Return the events that may be sent again under their id."""
        return [draft for draft, _ in self.kept if draft.event_id is not None]

    def upto(self, reached: dict[int, int] | None) -> list[tuple[Draft, Acked]]:
        if reached is None:
            return self.kept
        return [(draft, acked) for draft, acked in self.kept if acked.place[1] <= reached[acked.place[0]]]

    def entities(self, reached: dict[int, int] | None = None) -> dict[str, Expected]:
        """Return the living entities after all events that `reached` includes."""
        return _after(self.upto(reached))

    def places(self, partition: int) -> list[Place]:
        """Return where the events of a partition are."""
        return [acked.place for _, acked in self.kept if acked.place[0] == partition]

    def entities_at(self, place: Place) -> dict[str, Expected]:
        """Return the living entities of a partition after its events up to a place."""
        return _after([one for one in self.kept if one[1].place[0] == place[0] and one[1].place <= place])

    def histories(self, reached: dict[int, int] | None = None) -> dict[str, list[str]]:
        """Return the event ids of each entity, oldest first."""
        found: dict[str, list[str]] = {}
        for draft, acked in self.upto(reached):
            found.setdefault(draft.entity_id, []).append(acked.event_id)
        return found


def _after(events: list[tuple[Draft, Acked]]) -> dict[str, Expected]:
    """Return the living entities after some events."""
    state: dict[str, dict[str, Any]] = {}
    etags: dict[str, str] = {}
    for draft, acked in events:
        if draft.properties.get(DELETED) is True:
            state.pop(draft.entity_id, None)
        elif draft.properties:
            state[draft.entity_id] = state.get(draft.entity_id, {}) | draft.properties
            etags[draft.entity_id] = '"{}.{}.{}"'.format(*acked.place)
    return {name: Expected(text_of(properties), etags[name]) for name, properties in state.items()}
