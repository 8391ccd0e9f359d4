"""What a watching socket is sent, rendered once per change and shared by all who watch."""

from __future__ import annotations

from typing import Any

import msgspec

from flux_actors.domain.change import Change
from flux_actors.domain.clock import iso_of


class StateUpdate(msgspec.Struct, frozen=True, tag="state_update", tag_field="type"):
    """One property of one entity was set."""

    entity_id: str
    property: str
    value: Any
    timestamp: str


class EntityDeleted(msgspec.Struct, frozen=True, tag="entity_deleted", tag_field="type"):
    """An entity is gone."""

    entity_id: str
    timestamp: str


_encode = msgspec.json.Encoder().encode


def frames_of(change: Change) -> list[str]:
    """Return the messages of a change: one per property it names, or one for a deletion."""
    timestamp = iso_of(change.clock_us)
    if change.properties is None:
        return [_encode(EntityDeleted(change.entity_id, timestamp)).decode()]
    return [
        _encode(StateUpdate(change.entity_id, name, value, timestamp)).decode()
        for name, value in change.properties.items()
    ]


def message(**fields: Any) -> str:
    """Return one message as JSON text."""
    return _encode(fields).decode()
