"""The past in the place of shards: what a list asks them is answered as they would have answered then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, Protocol

from flux_actors.errors import Unavailable
from flux_actors.shard.reads import EVERYTHING, PageOrder, Query, Veil
from flux_api.at import Moment
from flux_api.past import DoorPast

_ANY_BYTES: Final = 0  # a count has no pages


class ListedShards(Protocol):
    """What a list is made from."""

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:
        """Return a shard's answer to `page` or `count`."""
        ...


class ListedPast:
    """The past of some partitions as one: it is folded once, and its pages come in their order."""

    def __init__(self, past: DoorPast, partitions: Sequence[int], moment: Moment) -> None:
        self._past = past
        self._parts = [past.part(partition, moment.of(partition)) for partition in partitions]
        self._pages: AsyncGenerator[bytes, None] | None = None
        self._veil: Veil | None = None
        self._taking = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    async def call(self, partition: int, method: str, *arguments: Any) -> Any:  # noqa: ARG002 - all are one
        """Answer for all partitions."""
        if method == "page":
            _, order = arguments
            return await self._next_page(order)
        _, prefix, veil, where = arguments
        query = EVERYTHING if where is None else Query(where)
        page = PageOrder(prefix, None, _ANY_BYTES, joined=True, veil=veil, query=query)
        return await self._past.count(self._parts, page)

    async def close(self) -> None:
        """Give up what was not taken, even if whoever asks for that is ended meanwhile."""
        if self._pages is not None:
            self._closing = asyncio.create_task(self._give_up(self._pages))
            await asyncio.shield(self._closing)

    async def _give_up(self, pages: AsyncGenerator[bytes, None]) -> None:
        async with self._taking:
            await pages.aclose()

    async def _next_page(self, order: PageOrder) -> bytes:
        async with self._taking:
            if self._pages is None:
                self._pages, self._veil = self._past.pages(self._parts, order), order.veil
            if order.veil != self._veil:
                raise Unavailable("who may read some of this list has changed meanwhile; ask again")
            return await anext(self._pages)
