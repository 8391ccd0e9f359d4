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
from flux_actors.feed.holding import Held, Holding
from flux_actors.feed.patience import patiently
from flux_api.watching.ground import Ground

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
    """How much all mirrors of a door hold; of too much, the largest has to go, whoever asks for more."""

    def __init__(self) -> None:
        self.mirrors: set[Mirror] = set()
        self.entities = 0
        self.size = 0

    def check(self) -> None:
        """Have mirrors go until the others fit."""
        while self.entities > limits.mirror_entities_max or self.size > limits.mirror_bytes_max:
            max(self.mirrors, key=lambda mirror: (mirror.size, mirror.pattern)).fail(_TOO_LARGE)


class Mirror:
    """The living entities of one pattern."""

    def __init__(self, pattern: str, ground: Ground, room: Room, failed: Callable[[Mirror], None]) -> None:
        self.pattern = pattern
        self.watchers = 0
        self.size = 0
        self.error: Refused | None = None
        self._ground = ground
        self._room = room
        self._rows: dict[str, EntityRow] = {}
        self._sizes: dict[str, int] = {}
        self._failed = failed
        room.mirrors.add(self)
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
        if self._filling.done():
            return None if self.error is not None else self._apply(change)
        self._hold(Held(change.entity_id, partition, change.position, change=change))
        return None

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
        self._leave()

    def fail(self, text: str) -> None:
        """Let go of everything, and tell why."""
        if self.error is None:
            self.error = Refused(text)
            self._leave()
            self._failed(self)

    def _begin(self) -> asyncio.Task[None]:
        filling = asyncio.create_task(self._fill())
        filling.add_done_callback(self._look_at)
        return filling

    def _look_at(self, filling: asyncio.Task[None]) -> None:
        """Fail when filling did."""
        if not filling.cancelled() and filling.exception() is not None:
            _log.error("mirror.failed", pattern=self.pattern, error=repr(filling.exception()))
            self.fail(_FAILED)

    async def _fill(self) -> None:
        for partition in self._ground.partitions_of(self.pattern):
            await self._fill_from(partition)
        for partition, position in self._holding.reaches.items():
            await patiently(self._ground.reached, partition, position >> limits.offset_bits)

    async def _fill_from(self, partition: int) -> None:
        after: str | None = None
        await patiently(self._ground.reached, partition, 0)
        while self.error is None:
            base = await patiently(self._ground.base, self.pattern, partition, after)
            self._holding.cover(partition, base.end, base.as_of)
            for row in base.rows:
                self._put(row)
            for held in self._holding.release(partition):
                self._take_held(held)
            if base.end is None:
                return
            after = base.end

    def _hold(self, held: Held) -> None:
        """Take a change whose entity is here already; hold any other."""
        if not self._holding.covers(held):
            self._holding.put(held)
            if self._holding.full:
                self.refill()
        elif not self._holding.has(held):
            self._take_held(held)

    def _take_held(self, held: Held) -> None:
        if held.change is not None and self.error is None:
            self._apply(held.change)

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
        if self.error is not None:
            return
        size = len(_measure(row))
        known = self._sizes.get(row.entity_id)
        self._grow(size - (known or 0), known is None)
        self._rows[row.entity_id] = row
        self._sizes[row.entity_id] = size
        self._room.check()

    def _remove(self, entity_id: str) -> None:
        if self._rows.pop(entity_id, None) is not None:
            self._grow(-self._sizes.pop(entity_id), -1)

    def _grow(self, size: int, entities: int) -> None:
        self.size += size
        self._room.size += size
        self._room.entities += entities

    def _leave(self) -> None:
        self._drop()
        self._room.mirrors.discard(self)

    def _drop(self) -> None:
        self._grow(-self.size, -len(self._rows))
        self._rows, self._sizes = {}, {}
