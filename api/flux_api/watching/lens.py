"""Lenses: how a subscription sees what happens, in frames that all who look alike share."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from flux_actors.domain.change import Change
from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity import EntityRow, render, render_some
from flux_actors.domain.position import Packed, text_of
from flux_api.frames import Renderer, framed, message

_encode: Final = msgspec.json.Encoder().encode


class Lens(NamedTuple):
    """A format, and the properties that are shown.

    Through a `merged` one several changes are seen as one: its position is the newest of them, and a reader
    who has it need not have all before it.
    """

    delta: bool = False
    fields: tuple[str, ...] | None = None
    merged: bool = False

    def shown(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Return those properties that are seen through it."""
        if self.fields is None:
            return properties
        return {name: properties[name] for name in self.fields if name in properties}


class Views:
    """Renders what is seen through lenses."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def change(self, lens: Lens, change: Change, partition: int) -> bytes:
        """Return what is seen of a change: nothing when it names no property that is shown."""
        if change.properties is None:
            return self.deletion(lens, change, partition)
        properties = lens.shown(change.properties)
        return self._update(lens, change, properties, partition) if properties else b""

    def whole(self, lens: Lens, row: EntityRow, partition: int) -> bytes:
        """Return an update with all properties, of an entity that has come into sight."""
        seen = Change(row.position, row.entity_id, row.properties, row.updated_us)
        return self._update(lens, seen, lens.shown(row.properties or {}), partition)

    def deletion(self, lens: Lens, change: Change, partition: int) -> bytes:
        """Return the end of an entity."""
        if not lens.delta:
            return self._renderer.deletion(change.entity_id, change.clock_us)
        return framed(
            message(
                type="entity_deleted",
                entity_id=change.entity_id,
                timestamp=iso_of(change.clock_us),
                position=_text(partition, change.position),
                **_mark(lens),
            ).encode()
        )

    def state(self, lens: Lens, row: EntityRow, partition: int) -> bytes:
        """Return an entity as it is."""
        entity = render(row) if lens.fields is None else render_some(row, lens.fields)
        position = _text(partition, row.position)
        return framed(message(type="state", entity=msgspec.Raw(entity), position=position).encode())

    def left(self, entity_id: str) -> bytes:
        """Return that a condition holds of an entity no longer."""
        return framed(message(type="left", entity_id=entity_id).encode())

    def live(self, request_id: Any, pattern: str, position: str) -> bytes:
        """Return that all has been told that a subscription begins with, which is all up to a position."""
        return framed(message(type="live", id=request_id, entity_id=pattern, position=position).encode())

    def resync(self, pattern: str) -> bytes:
        """Return that changes may have been missed: what is known of `pattern` is to be forgotten."""
        return framed(message(type="resync", entity_id=pattern).encode())

    def error(self, request_id: Any, pattern: str, text: str) -> bytes:
        """Return that a subscription has ended, and why."""
        return framed(message(type="error", id=request_id, entity_id=pattern, error=text).encode())

    def _update(self, lens: Lens, change: Change, properties: dict[str, Any], partition: int) -> bytes:
        if not lens.delta:
            return self._renderer.frames_of(
                Change(change.position, change.entity_id, properties, change.clock_us)
            )
        return framed(
            message(
                type="delta",
                entity_id=change.entity_id,
                properties=properties,
                position=_text(partition, change.position),
                timestamp=iso_of(change.clock_us),
                **_mark(lens),
            ).encode()
        )


def _mark(lens: Lens) -> dict[str, bool]:
    return {"conflated": True} if lens.merged else {}


def _text(partition: int, position: int) -> str:
    return text_of(partition, Packed(position))
