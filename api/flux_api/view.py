"""The live view: a door's own copy of the entities it was asked for, kept fresh by the feed.

A read of an entity in the view costs a dictionary look-up. One that is not there is fetched from its
shard, together with all others wanted at the moment: one Ray call carries many ids. While a fetch is
under way the feed's changes of its ids are set aside; the answer says at which sequence it was true, and
the changes behind that are applied on top, so nothing falls between answer and feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from flux_actors import limits
from flux_actors.domain.change import Change, UnreadChange
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import FluxError, Moved, Unavailable
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.shard.reads import Readings, decode_readings
from flux_api.cached import CachedEntity

_EVICT_SHARE: Final = 10


class _Wanted:
    """An id that is being fetched: who waits, and what the feed said meanwhile."""

    __slots__ = ("changes", "done")

    def __init__(self) -> None:
        self.done: asyncio.Future[CachedEntity] = asyncio.get_running_loop().create_future()
        self.changes: list[Change] = []


class LiveView:
    """Entities by id, and the fetches under way."""

    def __init__(
        self,
        partitioning: Partitioning,
        shards: ShardCalls,
        place: Callable[[int], int | None],
        entities_max: int = limits.view_entities_max,
    ) -> None:
        self._partitioning = partitioning
        self._shards = shards
        self._place = place  # how far the feed of a partition is; None before it has begun: nothing is kept
        self._losses: dict[int, int] = {}
        self._entities_max = entities_max
        self._kept: dict[str, CachedEntity] = {}
        self._wanted: dict[str, _Wanted] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self.hits = 0  # of those who ask here; the hot way looks at copies and counts by itself
        self.misses = 0

    def __len__(self) -> int:
        """Return how many entities are kept."""
        return len(self._kept)

    def kept(self, entity_id: str) -> CachedEntity | None:
        """Return the copy of an entity if there is one."""
        return self._kept.get(entity_id)

    def look_up(self, entity_id: str) -> CachedEntity | None:
        """Return the copy of an entity if there is one, and count that it was there."""
        kept = self._kept.get(entity_id)
        self.hits += kept is not None
        return kept

    async def get(self, entity_id: str) -> CachedEntity:
        """Return an entity, fetched if need be; raises `Unavailable` when its shard is away."""
        kept = self._kept.get(entity_id)
        if kept is None:
            return await asyncio.shield(self._want(entity_id))
        self.hits += 1
        return kept

    async def get_many(self, ids: Iterable[str]) -> list[CachedEntity]:
        """Return entities in the order of `ids`."""
        found = [self._kept.get(entity_id) or self._want(entity_id) for entity_id in ids]
        waiting = [item for item in found if isinstance(item, asyncio.Future)]
        self.hits += len(found) - len(waiting)
        if waiting:
            await asyncio.gather(*map(asyncio.shield, waiting))
        return [item.result() if isinstance(item, asyncio.Future) else item for item in found]

    @property
    def listens(self) -> bool:
        """Whether a change can concern any copy or fetch."""
        return bool(self._kept or self._wanted)

    def on_changes(self, changes: Sequence[UnreadChange | Change]) -> None:
        """Apply what the feed brought to the copies and to the fetches under way."""
        for change in changes:
            kept = self._kept.get(change.entity_id)
            if kept is not None:
                kept.apply(change.read())
            wanted = self._wanted.get(change.entity_id)
            if wanted is not None:
                wanted.changes.append(change.read())

    def forget(self, partition: int) -> None:
        """Drop all copies of a partition whose changes were lost; fetches under way missed them too."""
        self._losses[partition] = self._losses.get(partition, 0) + 1
        stale = [key for key, entity in self._kept.items() if entity.partition == partition]
        for key in stale:
            del self._kept[key]

    async def close(self) -> None:
        """End the fetches."""
        for task in self._fetching.values():
            task.cancel()

    def _want(self, entity_id: str) -> asyncio.Future[CachedEntity]:
        wanted = self._wanted.get(entity_id)
        if wanted is None:
            self.misses += 1
            wanted = self._wanted[entity_id] = _Wanted()
            partition = self._partitioning.of_entity(entity_id)
            owner = self._shards.owner(partition)
            self._queues.setdefault(owner, {})[entity_id] = partition
            if owner not in self._fetching:
                self._fetching[owner] = asyncio.create_task(self._fetch_all(owner))
        return wanted.done

    async def _fetch_all(self, owner: str) -> None:
        queue = self._queues[owner]
        try:
            while queue:
                batch = dict(list(queue.items())[: limits.fetch_ids_max])
                for entity_id in batch:
                    del queue[entity_id]
                await self._fetch(batch)
        finally:
            del self._fetching[owner]

    async def _fetch(self, batch: dict[str, int]) -> None:
        by_partition: dict[int, list[str]] = {}
        for entity_id, partition in batch.items():
            by_partition.setdefault(partition, []).append(entity_id)
        begun = {partition: self._moment(partition) for partition in by_partition}
        try:
            data = await self._shards.call(next(iter(by_partition)), "get", by_partition)
        except FluxError as error:
            if isinstance(error, Moved) and len(by_partition) > 1:  # they are no longer all with one shard
                parts = (dict.fromkeys(ids, partition) for partition, ids in by_partition.items())
                await asyncio.gather(*map(self._fetch, parts))
            else:
                self._fail(batch, error)
            return
        for partition, readings in decode_readings(data).items():
            ids = by_partition[partition]
            place, losses = begun[partition]
            if readings.sequence < (place or 0) or losses != self._moment(partition)[1]:
                # A shard that was replaced and does not know it, or changes that were lost meanwhile.
                self._fail(
                    ids, Unavailable(f"partition {partition} is being restarted; try again in a second")
                )
            else:
                self._install(partition, ids, readings, keep=place is not None)

    def _moment(self, partition: int) -> tuple[int | None, int]:
        return self._place(partition), self._losses.get(partition, 0)

    def _install(self, partition: int, ids: list[str], readings: Readings, *, keep: bool) -> None:
        rows: dict[str, EntityRow] = {row.entity_id: row for row in readings.rows}
        as_of = ((readings.sequence + 1) << limits.offset_bits) - 1
        for entity_id in ids:
            entity = CachedEntity.of(entity_id, partition, as_of, rows.get(entity_id))
            wanted = self._wanted.pop(entity_id)
            for change in wanted.changes:
                entity.apply(change)
            if keep:
                self._kept[entity_id] = entity
            if not wanted.done.done():
                wanted.done.set_result(entity)
        if len(self._kept) > self._entities_max:
            self._evict()

    def _evict(self) -> None:
        oldest = list(self._kept)[: self._entities_max // _EVICT_SHARE]
        for entity_id in oldest:
            del self._kept[entity_id]

    def _fail(self, ids: Iterable[str], error: FluxError) -> None:
        for entity_id in ids:
            wanted = self._wanted.pop(entity_id)
            if not wanted.done.done():
                text = error if isinstance(error, Unavailable) else Unavailable(error.message)
                wanted.done.set_exception(text)
