"""Copies: the living entities whose ids begin alike, or one entity, as this process has them.

They are filled from the shards, page by page, each page true at one sequence, while what the feed brings is
held; what a page has in it is dropped. Then each change of the feed moves them. One thread writes, any number
of others read: a row is never changed but replaced, and the table is one dictionary, so who looks an entity
up finds it whole, as it was before a change or after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.domain.change import Change, UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.position import Packed, pack, text_of, text_of_all
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.feed.holding import Held, Holding
from flux_actors.feed.patience import patiently
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.native.following import Following
from flux_actors.native.session import Session
from flux_actors.native.standing import Standing
from flux_actors.shard.reads import Rows, decode_readings, decode_rows

_log = structlog.get_logger(__name__)
_OFFSET_MAX: Final = (1 << limits.offset_bits) - 1
_REACH_S: Final = 10.0
_LOOK_S: Final = limits.introduction_s / 2
Told = Callable[[str, EntityRow | None, int], None]  # of which entity, what it is now, since which position


class Copies:
    """The living entities of a prefix, or the one entity `prefix` if it is `whole`."""

    def __init__(
        self,
        prefix: str,
        following: Following,
        standing: Standing,
        session: Session,
        *,
        whole: bool = False,
        told: Told | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        self.prefix = prefix
        self.rows: dict[str, EntityRow] = {}
        self.error: FluxError | None = None
        self._whole = whole
        self._following = following
        self._standing = standing
        self._told = told
        self._failed = failed
        rule = following.partitioning
        self.partitions = (rule.of_entity(prefix),) if whole else rule.of_prefix(prefix)
        self._least = {
            partition: session.after(partition) >> limits.offset_bits for partition in self.partitions
        }
        self._full: set[int] = set()
        self._holding = Holding()
        self._filling: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._filled = asyncio.Event()

    async def open(self) -> None:
        """Return when they show the present.

        Raises:
            Refused: they may not be read. Unavailable: the log cannot be reached.
        """
        shards = await self._following.open()
        self._following.add(self)
        self._begin(shards)
        self._looking = asyncio.create_task(self._look())
        await self.filled()

    async def filled(self) -> None:
        """Return when they show the present; raises why they never will."""
        await self._filled.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Follow no longer; what is here stays."""
        self._following.remove(self)
        for task in (self._filling, self._looking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @property
    def position(self) -> str:
        """Up to where they are true: a text that any read of Flux takes."""
        places = {partition: self._following.parts[partition].sequence for partition in self.partitions}
        return text_of_all({one: pack(at, _OFFSET_MAX) for one, at in places.items() if at is not None})

    def position_of(self, entity_id: str) -> str:
        """Return where an entity changed last."""
        row = self.rows[entity_id]
        return text_of(self._following.partitioning.of_entity(entity_id), Packed(row.position))

    async def reached(self, positions: dict[int, Packed], timeout_s: float) -> None:
        """Return when they include positions; raises `Unavailable` when that takes too long."""
        for partition, position in positions.items():
            if partition in self.partitions:
                await self._following.parts[partition].reached(position >> limits.offset_bits, timeout_s)
        await self.filled()

    def on_changes(self, changes: list[UnreadChange]) -> None:
        """Take what the feed brings."""
        prefix, whole = self.prefix, self._whole
        for change in changes:
            entity_id = change.entity_id
            if (entity_id == prefix if whole else entity_id.startswith(prefix)) and self._shown(entity_id):
                self._take(self._following.partitioning.of_entity(entity_id), change.read())

    def on_lost(self, partition: int, rows: list[EntityRow]) -> None:
        """Take the entities that changed while changes were lost, as they are now."""
        if partition not in self.partitions:
            return
        if partition not in self._full:
            self._begin(None)
            return
        for row in rows:
            named = row.entity_id == self.prefix if self._whole else row.entity_id.startswith(self.prefix)
            known = self.rows.get(row.entity_id)
            if named and self._shown(row.entity_id) and (known is None or known.position < row.position):
                self._put(row, row.position)

    def _begin(self, shards: ShardCalls | None) -> None:
        """Fill them, from the beginning."""
        if self._filling is not None:
            self._filling.cancel()
        self.rows.clear()
        self._full.clear()
        self._holding = Holding()
        self._filling = asyncio.create_task(self._fill(shards))

    async def _fill(self, shards: ShardCalls | None) -> None:
        try:
            way = shards or await self._following.open()
            for partition in self.partitions:
                await self._fill_from(way, partition)
            for partition, position in self._holding.reaches.items():
                part = self._following.parts[partition]
                await patiently(part.reached, position >> limits.offset_bits, _REACH_S)
        except FluxError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
            _log.error("copies.fault", prefix=self.prefix, error=repr(error), exc_info=error)
            self._fail(Unavailable(f"the entities could not be read ({type(error).__name__})"))
        self._filled.set()

    async def _fill_from(self, shards: ShardCalls, partition: int) -> None:
        part = self._following.parts[partition]
        await patiently(part.reached, 0, _REACH_S)  # from here on nothing is missed
        after: str | None = None
        while True:
            least = max(part.sequence or 0, self._least[partition])
            page = await patiently(self._page, shards, partition, after, least)
            self._holding.cover(partition, page.after, pack(page.sequence, _OFFSET_MAX))
            for row in page.rows:
                if self._shown(row.entity_id):
                    self._put(row, row.position)
            if self._whole and not page.rows:
                self._gone(self.prefix, pack(page.sequence, _OFFSET_MAX))
            for held in self._holding.release(partition):
                if held.change is not None:
                    self._apply(held.change)
            if page.after is None:
                break
            after = page.after
        self._full.add(partition)

    async def _page(self, shards: ShardCalls, partition: int, after: str | None, least: int) -> Rows:
        """Return the next rows; raises `Unavailable` for those of a shard that is behind the feed."""
        if self._whole:
            found = decode_readings(await shards.call(partition, "get", {partition: [self.prefix]}))
            page = Rows(found[partition].sequence, found[partition].rows, None)
        else:
            page = decode_rows(await shards.call(partition, "rows", partition, self.prefix, after))
        if page.sequence < least:
            raise Unavailable(f"partition {partition} is not that far yet")
        return page

    def _take(self, partition: int, change: Change) -> None:
        """Take a change whose entity is here already; hold any other."""
        if partition in self._full:
            self._apply(change)
            return
        held = Held(change.entity_id, partition, change.position, change=change)
        if not self._holding.covers(held):
            self._holding.put(held)
            if self._holding.full:
                self._begin(None)
        elif not self._holding.has(held):
            self._apply(change)

    def _apply(self, change: Change) -> None:
        if change.properties is None:
            self._gone(change.entity_id, change.position)
            return
        before = self.rows.get(change.entity_id)
        properties = (before.properties or {}) if before is not None else {}
        row = EntityRow(change.entity_id, properties | change.properties, change.position, change.clock_us)
        self._put(row, change.position)

    def _put(self, row: EntityRow, position: int) -> None:
        if row.properties is None:
            self._gone(row.entity_id, position)
            return
        self.rows[row.entity_id] = row
        if self._told is not None:
            self._told(row.entity_id, row, position)

    def _gone(self, entity_id: str, position: int) -> None:
        self.rows.pop(entity_id, None)
        if self._told is not None:
            self._told(entity_id, None, position)

    def _fail(self, error: FluxError) -> None:
        """Show nothing any more, and why."""
        self.error = error
        self.rows.clear()
        self._following.remove(self)
        if self._failed is not None:
            self._failed()

    def _shown(self, entity_id: str) -> bool:
        return self._standing.may_read(entity_id)

    async def _look(self) -> None:
        """Look now and then whether all of it may still be read."""
        while self.error is None:
            await asyncio.sleep(_LOOK_S)
            if self._following.ended is not None:
                self._fail(self._following.ended)
                return
            try:
                await self._standing.current()
            except Refused as refused:
                self._fail(refused)
            except Unavailable as error:
                _log.warning("copies.not_looked", reason=error.message)
            for entity_id in [one for one in tuple(self.rows) if not self._shown(one)]:
                self._gone(entity_id, 0)
