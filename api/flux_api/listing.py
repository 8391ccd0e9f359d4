"""Lists: pages of every partition merged in id order, streamed, never held whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from flux_actors import limits
from flux_actors.domain.entity import EntityRow, render
from flux_actors.shard.reads import decode_page
from flux_api.door import Door


class _Source:
    """One partition's rows in id order, a page ahead of the reader."""

    def __init__(self, door: Door, partition: int, prefix: str) -> None:
        self._door = door
        self._partition = partition
        self._prefix = prefix
        self._after: str | None = None
        self._ended = False
        self.rows: deque[EntityRow] = deque()

    async def fill(self) -> None:
        """Fetch the next page when no row is left."""
        while not self.rows and not self._ended:
            data = await self._door.shards.call(
                self._partition, "page", self._partition, self._prefix, self._after, limits.page_entities
            )
            page = decode_page(data)
            self.rows.extend(page.rows)
            self._after = page.after
            self._ended = page.after is None


class Listing:
    """The living entities of a namespace (or all) whose ids begin with a prefix."""

    def __init__(self, door: Door, namespace: str | None, prefix: str) -> None:
        self._door = door
        self._prefix, self._empty = _combined(namespace, prefix)
        rule = door.partitioning
        self.partitions = rule.of_namespace(namespace) if namespace else rule.of_prefix(prefix)
        self._sources = [] if self._empty else [_Source(door, p, self._prefix) for p in self.partitions]

    async def begin(self) -> None:
        """Fetch the first pages, so that a fault is answered before the answer has begun."""
        await asyncio.gather(*(source.fill() for source in self._sources))

    async def count(self) -> int:
        """Return how many there are."""
        if self._empty:
            return 0
        calls = (self._door.shards.call(p, "count", p, self._prefix) for p in self.partitions)
        return sum(await asyncio.gather(*calls))

    async def ids(self, limit: int) -> list[str]:
        """Return up to `limit` ids of each partition."""
        if self._empty:
            return []
        calls = (self._door.shards.call(p, "matching", p, self._prefix, limit) for p in self.partitions)
        return sorted(entity_id for ids in await asyncio.gather(*calls) for entity_id in ids)

    async def runs(self) -> AsyncIterator[list[EntityRow]]:
        """Yield rows in id order, in runs as long as the pages at hand allow."""
        while True:
            await self.begin()
            heads = [source for source in self._sources if source.rows]
            if not heads:
                return
            yield _take_run(heads)


def _take_run(sources: list[_Source]) -> list[EntityRow]:
    """Take all rows up to the smallest last id at hand: behind it an unread page might still come."""
    bound = min(source.rows[-1].entity_id for source in sources)
    run: list[EntityRow] = []
    for source in sources:
        rows = source.rows
        if rows[-1].entity_id <= bound:
            run.extend(rows)
            rows.clear()
        while rows and rows[0].entity_id <= bound:
            run.append(rows.popleft())
    if len(sources) > 1:
        run.sort(key=lambda row: row.entity_id)
    return run


async def stream_json(listing: Listing) -> AsyncIterator[bytes]:
    """Yield the listing as one JSON array."""
    first = True
    async for run in listing.runs():
        text = b",".join(map(render, run))
        yield (b"[" if first else b",") + text
        first = False
    yield b"[]" if first else b"]"


def _combined(namespace: str | None, prefix: str) -> tuple[str, bool]:
    """Return the prefix that means both, and whether nothing can match."""
    if namespace is None:
        return prefix, False
    own = namespace + "/"
    if "/" in namespace:
        return own, True
    if prefix.startswith(own):
        return prefix, False
    return own, not own.startswith(prefix)
