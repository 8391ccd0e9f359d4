"""One entity in a live view."""

from __future__ import annotations

from typing import Any

import msgspec

from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow, etag_of, render
from flux_api.hot.replies import json_head


class CachedEntity(msgspec.Struct, gc=False, eq=False):
    """A door's copy of an entity, or of the fact that there is none; renders once until it changes.

    It holds no cycle, and the collector need not know it: a full collection over 200,000 copies that it
    knew took 150 ms of the loop, and finds nothing to do now.
    """

    entity_id: str
    partition: int
    as_of: int  # all changes up to this packed position are in
    properties: dict[str, Any] | None = None
    position: int = -1
    updated_us: int = 0
    _body: bytes | None = None
    _head: bytes | None = None

    @classmethod
    def of(cls, entity_id: str, partition: int, as_of: int, row: EntityRow | None) -> CachedEntity:
        """Return the copy of a row, or of there being none."""
        if row is None:
            return cls(entity_id, partition, as_of)
        return cls(entity_id, partition, as_of, row.properties, row.position, row.updated_us)

    def apply(self, change: Change) -> None:
        """Take a change that is newer than what is known."""
        if change.position <= self.as_of:
            return
        self.as_of = self.position = change.position
        self.updated_us = change.clock_us
        self._body = self._head = None
        if change.properties is None:
            self.properties = None
        elif self.properties is None:
            self.properties = dict(change.properties)
        else:
            self.properties.update(change.properties)

    @property
    def lives(self) -> bool:
        """Whether the entity exists."""
        return self.properties is not None

    @property
    def etag(self) -> str:
        """The ETag with its quotes."""
        return etag_of(self.partition, self.position)

    def body(self) -> bytes:
        """Return the JSON of a living entity."""
        if self._body is None:
            self._body = render(EntityRow(self.entity_id, self.properties, self.position, self.updated_us))
        return self._body

    def answer(self) -> bytes:
        """Return the HTTP answer of a living entity behind its date."""
        body = self.body()
        if self._head is None:
            self._head = json_head(len(body), b"etag: %s\r\n" % self.etag.encode())
        return self._head + body

    def public(self) -> msgspec.Raw:
        """Return the JSON of a living entity as a part of a larger answer."""
        return msgspec.Raw(self.body())
