"""Flux for coroutines: what `Flux` is, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Self

from flux_actors.native.bulk import Pair
from flux_actors.native.core import Core
from flux_actors.native.entity import AsyncEntity
from flux_actors.native.live import Live
from flux_actors.native.process import here
from flux_actors.native.receipts import Receipt, Receipts
from flux_actors.native.session import Session
from flux_actors.native.ticket import DEFAULT_SOURCE, Ticket

LIVE_S = 60.0


class AsyncFlux:
    """A user of Flux, for coroutines of any event loop; see `Flux` for what each method does."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def publish(
        self,
        entity_id: str,
        properties: Any,
        *,
        event_id: str | None = None,
        ttl_s: float | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        if_match: str | None = None,
    ) -> Receipt:
        """See `Flux.publish`."""
        work = self._core.publish(
            *(entity_id, properties, event_id, ttl_s),
            if_absent=if_absent,
            if_present=if_present,
            if_match=if_match,
        )
        return await self._core.home.thread.run_async(work)

    async def publish_many(
        self, pairs: Iterable[Pair], *, event_ids: Sequence[str] | None = None, once: bool = True
    ) -> Receipts:
        """See `Flux.publish_many`."""
        work = self._core.publish_many(list(pairs), event_ids, once=once)
        return await self._core.home.thread.run_async(work)

    async def delete(self, entity_id: str, *, event_id: str | None = None) -> Receipt:
        """See `Flux.delete`."""
        return await self._core.home.thread.run_async(self._core.delete(entity_id, event_id))

    def entity(self, entity_id: str) -> AsyncEntity:
        """See `Flux.entity`."""
        return AsyncEntity(self._core, entity_id)

    async def states(self, ids: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """See `Flux.states`."""
        return await self._core.home.thread.run_async(self._core.states(list(ids)))

    async def live(self, prefix: str, *, timeout_s: float = LIVE_S) -> Live:
        """See `Flux.live`."""
        return Live(self._core, await self._core.home.thread.run_async(self._core.live(prefix, timeout_s)))

    @property
    def position(self) -> str:
        """See `Flux.position`."""
        return self._core.session.text

    def include(self, position: str) -> None:
        """See `Flux.include`."""
        self._core.include(position)

    async def close(self) -> None:
        """See `Flux.close`."""
        await self._core.home.thread.run_async(self._core.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the ticket, and how far reads must be."""
        return AsyncFlux, (self._core,)

    def __repr__(self) -> str:
        return f"AsyncFlux({self._core.ticket!r})"


async def connect_async(
    *, token: str | None = None, namespace: str | None = None, source: str = DEFAULT_SOURCE
) -> AsyncFlux:
    """Do what `connect` does, for coroutines."""
    ticket, process = Ticket.checked(token, namespace, source), here()
    await asyncio.to_thread(process.enter)
    core = Core(ticket, Session(), process)
    await core.home.thread.run_async(core.link())
    return AsyncFlux(core)
