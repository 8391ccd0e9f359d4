"""Events: what a client may publish, and what the log keeps of it.

`parse_event` takes the client's JSON object and returns the immutable `Event` that goes into a block.
Fields that the fold reads come first, so that a shard decodes just these, the `EventHead`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.domain.terms import Terms, read_condition, terms_of
from flux_actors.errors import Refused

DELETED: Final = "__deleted__"
DELETE_STREAM: Final = "flux.delete"

_STREAMS_KEPT: Final = 1_024
_STREAM: Final = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*", re.ASCII)


# gc=False: what was decoded holds no cycles, and the collector need not look at every event.
class EventHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the fold reads of an event: a third cheaper to decode than the whole."""

    entity_id: str | None
    properties: dict[str, Any] | None
    event_id: str
    named_by_client: bool  # an id that a client chose can come again, so the fold remembers it
    source: str


class Event(EventHead, array_like=True, frozen=True, gc=False):
    """One event as the log keeps it."""

    stream: str
    timestamp_ms: int
    key: str | None = None
    schema: str | None = None
    rest: dict[str, Any] | None = None  # the payload beside entity_id and properties

    @property
    def deletes(self) -> bool:
        """Whether this event deletes its entity."""
        return self.properties is not None and self.properties.get(DELETED) is True

    def payload(self) -> dict[str, Any]:
        """Return the payload as it was published."""
        payload: dict[str, Any] = {}
        if self.entity_id is not None:
            payload["entity_id"] = self.entity_id
        if self.properties is not None:
            payload["properties"] = self.properties
        return payload | (self.rest or {})

    def public(self) -> dict[str, Any]:
        """Return the event in the shape that clients read."""
        body: dict[str, Any] = {
            "eventId": self.event_id,
            "stream": self.stream,
            "source": self.source,
            "timestamp": self.timestamp_ms,
        }
        if self.key is not None:
            body["key"] = self.key
        if self.schema is not None:
            body["schema"] = self.schema
        body["payload"] = self.payload()
        return body


class TermedEvent(Event, array_like=True, frozen=True, gc=False):
    """An event that asks for more than to set properties."""

    terms: Terms | None = None


class Envelope(msgspec.Struct, rename="camel", gc=False):
    """The JSON object of a client before any rule was checked; unknown fields are ignored."""

    stream: Any = None
    source: Any = None
    payload: Any = None
    timestamp: Any = None
    event_id: Any = None
    key: Any = None
    schema: Any = None
    condition: Any = None


def parse_event(envelope: Envelope, now_ms: int, new_id: str, *, core_allowed: bool = False) -> Event:
    """Check every rule of an event; `now_ms` and `new_id` stand in for what is missing."""
    stream = _stream(envelope.stream)
    source = _text(envelope.source, "source", limits.source_chars_max)
    payload = envelope.payload
    if not isinstance(payload, dict):
        raise Refused("payload is required and must be a JSON object")
    entity_id = payload.get("entity_id")
    properties = payload.get("properties")
    if entity_id is not None:
        check_entity_id(entity_id)
    if properties is not None and not isinstance(properties, dict):
        raise Refused("payload.properties must be a JSON object")
    if entity_id is not None and not core_allowed:
        check_not_core(entity_id)
    event_id = envelope.event_id
    if event_id is not None:
        event_id = _optional(event_id, "eventId", limits.event_id_chars_max)
    timestamp, key, schema = envelope.timestamp, envelope.key, envelope.schema
    plain = len(payload) == 2 and entity_id is not None and properties is not None
    condition = None if envelope.condition is None else read_condition(envelope.condition)
    terms = None if plain and condition is None else terms_of(payload, condition)
    event = Event(
        entity_id,
        properties,
        event_id or new_id,
        event_id is not None,
        source,
        stream,
        now_ms if timestamp is None else _timestamp(timestamp, now_ms),
        None if key is None else _optional(key, "key"),
        None if schema is None else _optional(schema, "schema"),
        None if plain else _rest(payload),
    )
    return event if terms is None else with_terms(event, terms)


def with_terms(event: Event, terms: Terms) -> TermedEvent:
    """Return an event with terms of its own instead of those that it has."""
    values = {name: getattr(event, name) for name in Event.__struct_fields__}
    return TermedEvent(**(values | {"terms": terms}))


def terms_in(event: Event) -> Terms | None:
    """Return the terms of an event, `None` when it has none."""
    return event.terms if isinstance(event, TermedEvent) else None


def tombstone(entity_id: str, event_id: str, now_ms: int, source: str) -> Event:
    """Return the event that deletes `entity_id`."""
    return server_event(entity_id, {DELETED: True}, event_id, now_ms, source, DELETE_STREAM)


def server_event(
    entity_id: str, properties: dict[str, Any], event_id: str, now_ms: int, source: str, stream: str
) -> Event:
    """Return an event that the server makes itself, under an id that nobody else can send again."""
    return Event(
        entity_id,
        properties,
        event_id,
        named_by_client=False,
        source=source,
        stream=stream,
        timestamp_ms=now_ms,
    )


def _rest(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Return the payload without what the fold reads, `None` when that is all of it."""
    taken = {name for name in ("entity_id", "properties") if payload.get(name) is not None}
    return {name: value for name, value in payload.items() if name not in taken} or None


def _stream(value: object) -> str:
    if value is None or value == "":
        raise Refused('stream is required, such as "sensors.room1"')
    if not isinstance(value, str) or not _is_stream(value):
        raise Refused(
            "stream must be lower-case letters and digits with single dots inside, "
            f"at most {limits.stream_chars_max} characters"
        )
    return value


@lru_cache(maxsize=_STREAMS_KEPT)
def _is_stream(text: str) -> bool:
    """Whether a text names a stream; few do, again and again (0.05 µs instead of 0.2 when it is known)."""
    return len(text) <= limits.stream_chars_max and _STREAM.fullmatch(text) is not None


def _text(value: object, name: str, chars_max: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max:
        raise Refused(f"{name} is required and must be a string of 1 to {chars_max} characters")
    return value


def _optional(value: object, name: str, chars_max: int = limits.body_single_bytes) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > chars_max:
        raise Refused(f"{name} must be a string of at most {chars_max} characters")
    return value


def _timestamp(value: object, now_ms: int) -> int:
    if value is None or value == "":
        return now_ms
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 64:
        raise Refused("timestamp must be an integer of epoch milliseconds greater than 0")
    return value
