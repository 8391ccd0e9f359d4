"""The past as a door tells it: without what earlier owners of a name did."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from flux_actors import limits
from flux_actors.domain.acting.faults import audience_of
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.position import pack
from flux_actors.errors import Corrupt
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.log.ports import EventLog
from flux_actors.past.orders import (
    ChangesOrder,
    CountOrder,
    EntityOrder,
    PagesOrder,
    Part,
    Past,
    decode_changes,
    decode_count,
    decode_entity,
)
from flux_actors.past.short_way import entity_from
from flux_actors.past.target import Target, ThroughPosition, ThroughTime
from flux_actors.shard.reads import PageOrder
from flux_actors.tenancy.registry import Registry
from flux_api.history import FOREVER, events_at_positions


class DoorPast:
    """What was, for readers.

    Arguments:
        folds: folds again.
        shards: know where an entity's newest events are.
        log: holds the events.
        registry: whose names had owners before.
        complete_below: an entity of which fewer positions are kept than that has all of them.
    """

    def __init__(
        self, folds: Past, shards: ShardCalls, log: EventLog, registry: Registry, complete_below: int
    ) -> None:
        self.folds = folds
        self._shards = shards
        self._log = log
        self._registry = registry
        self.complete_below = complete_below

    async def kept(self, partition: int, entity_id: str) -> tuple[list[tuple[int, int]], bool]:
        """Return the kept positions of an entity with their times, newest first, and whether they are all.

        Those that earlier owners of its name wrote are left out.
        """
        most = limits.history_positions_max
        found = await self._shards.call(partition, "history", partition, entity_id, 0, FOREVER, most)
        floor = self.floor(partition, audience_of(entity_id))
        own = [(position, clock_us) for position, clock_us in found if position >= floor]
        return own, len(found) < self.complete_below or len(own) < len(found)

    async def entity(
        self, partition: int, entity_id: str, target: ThroughPosition | ThroughTime
    ) -> EntityRow | None:
        """Return an entity as it was; the log must have been applied up to the target.

        Raises:
            Refused: 410, its past is gone; 413, it cannot be told with so many others in its namespace.
            Unavailable: it cannot be told now.
        """
        known = await self._from_its_events(partition, entity_id, target)
        if known is not None:
            return known[0]
        row: EntityRow | None = decode_entity(
            await self.folds.answer(EntityOrder(partition, entity_id, target))
        )
        if row is None or row.position < self.floor(partition, audience_of(entity_id)):
            return None
        return row

    async def _from_its_events(
        self, partition: int, entity_id: str, target: Target
    ) -> tuple[EntityRow | None] | None:
        """Return the entity told from its own events alone, `None` if they do not reach back far enough."""
        kept, whole = await self.kept(partition, entity_id)
        wanted = [(p, c) for p, c in kept if target.has(p, c)]
        if not wanted:
            return (None,) if whole else None
        # Asked behind `kept`: what a reducer made of any of those events is known by now.
        if await self._shards.call(partition, "ever_reduced", partition, entity_id):
            return None
        try:
            events = await events_at_positions(self._log, partition, [position for position, _ in wanted])
        except Corrupt:
            return None  # the log no longer holds them all: a snapshot may
        return entity_from(entity_id, wanted, events, whole=whole)

    async def changes(self, partition: int, prefix: str, after: int, until_sequence: int) -> list[Change]:
        """Return every change as the fold made it, in log order.

        Arguments:
            partition: whose log.
            prefix: of the entities' ids; `""` means all.
            after: the packed position behind which changes count, -1 for all.
            until_sequence: the last block that counts.

        Raises:
            Refused: 410, the log no longer reaches back to `after`; 413, there are too many changes.
            Unavailable: they cannot be told now, or the log has no such block yet.
        """
        order = ChangesOrder(partition, prefix, after, until_sequence)
        changes = decode_changes(await self.folds.answer(order))
        floors = self.floors(partition)
        if not floors:
            return changes
        return [c for c in changes if c.position >= floors.get(audience_of(c.entity_id), 0)]

    async def count(self, parts: list[Part], page: PageOrder) -> int:
        """Return how many entities a list had."""
        return decode_count(await self.folds.answer(CountOrder(parts, page)))

    def pages(self, parts: list[Part], page: PageOrder) -> AsyncGenerator[bytes, None]:
        """Return the pages of a list as it was, all but the first of the full size."""
        return self.folds.pages(PagesOrder(parts, page, limits.page_bytes))

    def part(self, partition: int, target: ThroughPosition | ThroughTime) -> Part:
        """Return what a list takes from a partition."""
        return Part(partition, target, self.floors(partition))

    def floor(self, partition: int, namespace: str) -> int:
        """Return from which packed position on what happened in a namespace may be known.

        A name may have had another owner before: what was theirs is in front of the end of their namespace.
        """
        last = self._registry.past_of(namespace).get(partition)
        return 0 if last is None else pack(last + 1, 0)

    def floors(self, partition: int) -> dict[str, int]:
        """Return the floors of all namespaces that have one."""
        floors = ((record.name, self.floor(partition, record.name)) for record in self._registry.all())
        return {name: floor for name, floor in floors if floor}
