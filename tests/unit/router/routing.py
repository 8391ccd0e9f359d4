"""A router on shards that are values, watched while a test goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from flux_actors.router.router import Router
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Owner, decode_topology
from tests.unit.router.fake_shards import FakeShards, FlakyKeyValue, until

REGISTRY = LogRegistry("log", 4)


async def opened(store: FlakyKeyValue, shards: FakeShards, number: int = 1) -> Router:
    """Return a router that has placed the partitions."""
    router = Router(store, shards, REGISTRY, number)
    await router.open()
    return router


@asynccontextmanager
async def watching(router: Router) -> AsyncIterator[None]:
    """Have the router look after its shards meanwhile."""
    watch = asyncio.create_task(router.watch())
    try:
        yield
    finally:
        router.closing = True
        await watch


async def stored(store: FlakyKeyValue) -> list[Owner | None]:
    """Return the owners that the topology names."""
    found = await store.get(TOPOLOGY_KEY)
    assert found is not None
    return decode_topology(found.value).owners


async def settled(router: Router) -> None:
    """Return when nothing moves any more."""
    await until(lambda: router.even)


def rounds(shards: FakeShards, name: str, count: int) -> Callable[[], bool]:
    """Return a condition: `name` was asked `count` times more."""
    target = shards.asked.count(name) + count
    return lambda: shards.asked.count(name) >= target
