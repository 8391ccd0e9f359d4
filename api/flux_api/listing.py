"""Lists: pages of every partition merged in id order, streamed, never held whole.

Shards render: a page is JSON already, so the door puts pages together without looking inside. The next
page is asked for once the client has begun to take the present one: a client that does not read makes the
door hold no more than these two of each partition. An id comes once at most, in order, and an entity that
lived from the first page to the last comes; of those that are made or deleted meanwhile, some do.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator
from contextlib import aclosing
from operator import itemgetter
from typing import Final

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.reads import NO_VEIL, Page, PageOrder, Veil, decode_page
from flux_actors.tenancy.principal import ANYONE, Principal
from flux_api.at import Moment
from flux_api.door import Door
from flux_api.listed_past import ListedPast, ListedShards
from flux_api.queries import ALL, Asked

_PAGES_WHOLE: Final = 4  # of more partitions, each gives smaller pages, so that they hold as much together


class _Eyes:
    """What the reader of a list sees, at each page anew: it may lose its token while it takes its time."""

    def __init__(self, door: Door, principal: Principal, prefix: str) -> None:
        self._tenancy = door.tenancy
        self._principal = principal
        self._prefix = prefix
        self._holds = self._tenancy.holds_still(principal)  # else it is a stranger's, all along
        self._revision = -1
        self._veil = NO_VEIL

    async def veil(self) -> Veil:
        """Return what must not be shown now.

        Raises:
            Unavailable: the token is good no longer, or that cannot be known.
        """
        await self._tenancy.current()
        if self._holds and not self._tenancy.holds_still(self._principal):
            raise Unavailable("the token that this list was asked with was revoked or has expired")
        if self._revision != self._tenancy.revision:
            self._revision = self._tenancy.revision
            self._veil = self._tenancy.veil(self._principal, self._prefix)
        return self._veil


class _Source:
    """One partition's runs in id order, a page ahead of the reader."""

    def __init__(
        self, shards: ListedShards, partition: int, order: PageOrder, partitions: int, eyes: _Eyes
    ) -> None:
        self._shards = shards
        self._partition = partition
        share = limits.page_bytes * _PAGES_WHOLE // max(partitions, _PAGES_WHOLE)
        self._bytes_max = max(share, limits.page_first_bytes)
        self._eyes = eyes
        self._order: PageOrder | None = order
        self._page = Page([], [], None)
        self._taken = 0
        self._coming: asyncio.Task[Page] | None = None

    @property
    def last_id(self) -> str | None:
        """The last id at hand, `None` when no run is left."""
        return self._page.ids[-1] if self._taken < len(self._page.ids) else None

    async def fill(self) -> None:
        """Wait for the next page when no run is left, unless there is none."""
        while self._order is not None and self.last_id is None:
            if self._coming is None:
                self._coming = asyncio.create_task(self._fetch(self._order))
            self._page, self._taken = await self._coming, 0
            self._coming = None
            after = self._page.after
            self._order = self._order._replace(after=after, bytes_max=self._bytes_max) if after else None

    def look_ahead(self) -> None:
        """Ask for the next page if there is one."""
        if self._coming is None and self._order is not None:
            self._coming = asyncio.create_task(self._fetch(self._order))

    def take(self, bound: str) -> list[tuple[str, bytes]]:
        """Take the runs up to the id `bound`, with their ids."""
        page, begin = self._page, self._taken
        self._taken = bisect_right(page.ids, bound, begin)
        return list(zip(page.ids[begin : self._taken], page.runs[begin : self._taken], strict=True))

    def close(self) -> None:
        """Give up the page that is coming."""
        if self._coming is not None:
            self._coming.cancel()  # of one that has failed already, too: then its error is not complained of

    async def _fetch(self, order: PageOrder) -> Page:
        order = order._replace(veil=await self._eyes.veil())
        return decode_page(await self._shards.call(self._partition, "page", self._partition, order))


class Listing:
    """The living entities of a namespace (or all) whose ids begin with a prefix, those that a reader sees."""

    def __init__(
        self,
        door: Door,
        namespace: str | None,
        prefix: str,
        principal: Principal = ANYONE,
        asked: Asked = ALL,
        moment: Moment | None = None,
    ) -> None:
        self._door = door
        self._prefix, self._empty = _combined(namespace, prefix)
        rule = door.partitioning
        self.partitions = rule.of_namespace(namespace) if namespace else rule.of_prefix(prefix)
        wanted = () if self._empty else self.partitions
        self._shards: ListedShards = door.shards
        self._past: ListedPast | None = None
        if moment is not None and wanted:
            self._past = self._shards = ListedPast(door.past, wanted, moment)
            wanted = wanted[:1]  # the past of all comes as one
        self._asked_of = wanted
        self._asked = asked
        self._joined = len(wanted) == 1 and asked.limit is None and not asked.lines
        self._eyes = _Eyes(door, principal, self._prefix)
        rows_max = None if asked.limit is None else asked.limit + 1
        order = PageOrder(
            prefix=self._prefix,
            after=asked.after,
            bytes_max=limits.page_first_bytes,
            joined=self._joined,
            query=asked.query,
            rows_max=rows_max,
        )
        self._sources = [_Source(self._shards, p, order, len(wanted), self._eyes) for p in wanted]
        bounded = asked.query.where is not None and self._past is None  # the past has a bound of its own
        self._left_s = limits.query_s if bounded else math.inf

    async def begin(self) -> None:
        """Fetch the first pages, so that a fault is answered before the answer has begun.

        Raises:
            Unavailable: a shard cannot be asked, or a condition takes too long.
        """
        if (await self._eyes.veil()).covers(self._prefix):
            return
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(None if self._left_s == math.inf else self._left_s):
                await asyncio.gather(*(source.fill() for source in self._sources))
        except TimeoutError:
            raise Unavailable(
                f"asking all these entities took longer than {limits.query_s:.0f} s; "
                "narrow the list by namespace or prefix, or ask for pages with limit"
            ) from None
        self._left_s -= time.monotonic() - begun_s

    async def count(self) -> int:
        """Return how many there are."""
        if self._empty:
            return 0
        veil = await self._eyes.veil()
        if veil.covers(self._prefix):
            return 0
        where = self._asked.query.where
        calls = (self._shards.call(p, "count", p, self._prefix, veil, where) for p in self._asked_of)
        return sum(await asyncio.gather(*calls))

    async def page(self, limit: int) -> tuple[list[bytes], str | None]:
        """Return up to `limit` entities, fewer when they are large, and the id behind which others come."""
        rows: list[bytes] = []
        size, last = 0, None
        try:
            while True:
                await self.begin()
                heads = [source for source in self._sources if source.last_id is not None]
                if not heads:
                    return rows, None
                for entity_id, row in _take(heads):
                    size += len(row)
                    if len(rows) == limit or (rows and size > limits.list_page_bytes_max):
                        return rows, last
                    rows.append(row)
                    last = entity_id
        finally:
            await self._close()

    async def ids(self, limit: int) -> list[str]:
        """Return up to `limit` ids of each partition."""
        if self._empty:
            return []
        calls = (self._door.shards.call(p, "matching", p, self._prefix, limit) for p in self.partitions)
        return sorted(entity_id for ids in await asyncio.gather(*calls) for entity_id in ids)

    async def runs(self) -> AsyncGenerator[bytes, None]:
        """Yield the JSON of entities in id order, several at a time with commas, or line ends, between."""
        between = b"\n" if self._asked.lines else b","
        try:
            while True:
                await self.begin()
                heads = [source for source in self._sources if source.last_id is not None]
                if not heads:
                    return
                taken = [run for _, run in _take(heads)]
                for run in taken if self._joined else [between.join(taken)]:
                    yield run
                    for source in heads:
                        source.look_ahead()
        finally:
            await self._close()

    async def _close(self) -> None:
        for source in self._sources:
            source.close()
        if self._past is not None:
            await self._past.close()


def _take(sources: list[_Source]) -> list[tuple[str, bytes]]:
    """Take all runs, with ids, up to the smallest last id at hand: behind it an unread page might come."""
    bound = min(source.last_id for source in sources if source.last_id is not None)
    found = [run for source in sources for run in source.take(bound)]
    if len(sources) > 1:
        found.sort(key=itemgetter(0))
    return found


async def stream_lines(listing: Listing) -> AsyncGenerator[bytes, None]:
    """Yield the listing as lines of JSON, one entity each."""
    async with aclosing(listing.runs()) as runs:
        async for run in runs:
            yield run + b"\n"


async def stream_json(listing: Listing) -> AsyncGenerator[bytes, None]:
    """Yield the listing as one JSON array."""
    first = True
    async with aclosing(listing.runs()) as runs:
        async for run in runs:
            yield (b"[" if first else b",") + run
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
