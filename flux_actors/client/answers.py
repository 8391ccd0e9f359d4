"""Answers of the server, as values."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from flux_actors.domain.entity import EntityBody


class Published(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The server's word that an event is durable; `entity` is there after `wait_applied`."""

    event_id: str
    stream: str
    entity: EntityBody | None = None
    position: str | None = None


class EventResult(msgspec.Struct, frozen=True, rename="camel"):
    """What became of one event of a batch; `error` is `None` when it is durable."""

    event_id: str | None = None
    stream: str | None = None
    error: str | None = None


class BatchAnswer(msgspec.Struct, frozen=True):
    """What became of a batch, event by event in the order sent."""

    successful: int
    failed: int
    results: list[EventResult]
    position: str | None = None


class DeletedEntity(msgspec.Struct, frozen=True, rename={"event_id": "eventId"}, omit_defaults=True):
    """The server's word that a deletion is durable."""

    entity_id: str
    event_id: str
    position: str | None = None


class Deletion(msgspec.Struct, frozen=True):
    """What became of a deletion of many entities."""

    deleted: int
    failed: int
    errors: list[Any]
    position: str | None = None


class HistoryPart(NamedTuple):
    """Some raw events, newest first; `complete_since` is set where older ones are kept no longer."""

    events: list[dict[str, Any]]
    complete_since: str | None


class Found(msgspec.Struct, frozen=True):
    """The entities asked for by id, and the ids that have none."""

    entities: list[EntityBody]
    missing: list[str]
