"""Mirrors: a door's copy of all entities of a pattern; conditions are asked of it.

All watchers of a pattern share one. It is filled like any base: what the feed brings meanwhile is held, and
what the rows have in them is dropped. It is there when the feed has come to the newest of its rows; from
then on each change of the feed moves it. Rows are never changed but replaced, so a copy of the table is a
picture of the moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import Refused
from flux_api.watching.ground import Ground
from flux_api.watching.holding import Held, Holding
from flux_api.watching.patience import patiently

_log = structlog.get_logger(__name__)
_FAILED: Final = "the door could not ask this condition; subscribe again"
_measure: Final = msgspec.msgpack.Encoder().encode
_TOO_LARGE: Final = (
    f"conditions on sockets can watch {limits.mirror_entities_max} entities, "
    f"{limits.mirror_bytes_max // limits.MIB} MiB of them; watch fewer, such as those of one namespace"
)


class Move(NamedTuple):
    """An entity before and after a change, each `None` when it does not live."""

    before: EntityRow | None
    after: EntityRow | None


class Room:
    """How much all mirrors of a door hold."""

    def __init__(self) -> None:
        self.entities = 0
        self.size = 0

    @property
    def exceeded(self) -> bool:
        """Whether that is more than may be."""
        return self.entities > limits.mirror_entities_max or self.size > limits.mirror_bytes_max


class Mirror:
    """The living entities of one pattern."""

    def __init__(self, pattern: str, ground: Ground, room: Room, failed: Callable[[Mirror], None]) -> None:
        self.pattern = pattern
        self.watchers = 0
        self.error: Refused | None = None
        self._ground = ground
        self._room = room
        self._rows: dict[str, EntityRow] = {}
        self._sizes: dict[str, int] = {}
        self._failed = failed
        self._holding = Holding()
        self._filling = self._begin()

    @property
    def ready(self) -> bool:
        """Whether it shows the present."""
        return self._filling.done() and self.error is None

    async def filled(self) -> None:
        """Return when it is ready, or will never be."""
        while not self._filling.done():
            await asyncio.wait([self._filling])

    def rows(self) -> list[EntityRow]:
        """Return a picture of this moment."""
        return list(self._rows.values())

    def find(self, entity_id: str) -> EntityRow | None:
        """Return an entity as it is."""
        return self._rows.get(entity_id)

    def take(self, partition: int, change: Change) -> Move | None:
        """Take a change; return what it did, `None` while it is not ready."""
        if not self._filling.done():
            self._holding.put(Held(change.entity_id, partition, change.position, change=change))
            if self._holding.full:
                self.refill()
            return None
        return None if self.error is not None else self._apply(change)

    def refill(self) -> None:
        """Begin anew: changes were lost."""
        self._filling.cancel()
        self._drop()
        if self.error is None:
            self._holding = Holding()
            self._filling = self._begin()

    def close(self) -> None:
        """Let go of everything."""
        self._filling.cancel()
        self._drop()

    def _begin(self) -> asyncio.Task[None]:
        filling = asyncio.create_task(self._fill())
        filling.add_done_callback(self._look_at)
        return filling

    def _look_at(self, filling: asyncio.Task[None]) -> None:
        """Fail when filling did."""
        if not filling.cancelled() and filling.exception() is not None:
            _log.error("mirror.failed", pattern=self.pattern, error=repr(filling.exception()))
            self._fail(_FAILED)

    def _fail(self, text: str) -> None:
        if self.error is None:
            self.error = Refused(text)
            self._failed(self)

    async def _fill(self) -> None:
        for partition in self._ground.partitions_of(self.pattern):
            await self._fill_from(partition)
        for partition, position in self._holding.reaches.items():
            await patiently(self._ground.reached, partition, position >> limits.offset_bits)
        for held in self._holding.take_all():
            if held.change is not None and self.error is None:
                self._apply(held.change)

    async def _fill_from(self, partition: int) -> None:
        after: str | None = None
        await patiently(self._ground.reached, partition, 0)
        while self.error is None:
            base = await patiently(self._ground.base, self.pattern, partition, after)
            self._holding.cover(partition, base.end, base.as_of)
            for row in base.rows:
                self._put(row)
            if base.end is None:
                return
            after = base.end

    def _apply(self, change: Change) -> Move:
        before = self._rows.get(change.entity_id)
        if change.properties is None:
            self._remove(change.entity_id)
            return Move(before, None)
        properties: dict[str, Any] = (before.properties or {}) if before is not None else {}
        after = EntityRow(change.entity_id, properties | change.properties, change.position, change.clock_us)
        self._put(after)
        return Move(before, after)

    def _put(self, row: EntityRow) -> None:
        size = len(_measure(row))
        known = self._sizes.get(row.entity_id)
        self._room.size += size - (known or 0)
        self._room.entities += known is None
        self._rows[row.entity_id] = row
        self._sizes[row.entity_id] = size
        if self._room.exceeded:
            self._fail(_TOO_LARGE)

    def _remove(self, entity_id: str) -> None:
        if self._rows.pop(entity_id, None) is not None:
            self._room.size -= self._sizes.pop(entity_id)
            self._room.entities -= 1

    def _drop(self) -> None:
        self._room.size -= sum(self._sizes.values())
        self._room.entities -= len(self._rows)
        self._rows, self._sizes = {}, {}
