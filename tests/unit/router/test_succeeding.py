"""The NamespaceRouter when the log has a next generation, or was closed for one that never came."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Refused
from flux_actors.router.succession import take_over
from flux_actors.router.topology import (
    LOG_KEY,
    REGISTRY_BUCKET,
    SWITCHING_KEY,
    TOPOLOGY_BUCKET,
    TOPOLOGY_KEY,
    LogRegistry,
    decode_topology,
    encode,
)
from tests.unit.router.fake_shards import until
from tests.unit.router.opening import routing


async def test_it_goes_on_with_the_next_generation_of_the_log(around):
    async with routing() as router:
        await router.open()
        before = set(around.shards.hosted)
        store = around.buckets[REGISTRY_BUCKET]
        known = await store.get(LOG_KEY)
        following = LogRegistry("next", 8, ["hot"], generation=2)
        await store.put(LOG_KEY, encode(following), known.revision)

        async def placed():
            stored = await around.buckets[TOPOLOGY_BUCKET].get(TOPOLOGY_KEY)
            topology = decode_topology(stored.value)
            return topology if topology.registry == following and all(topology.owners) else None

        async with asyncio.timeout(5):
            while (topology := await placed()) is None:  # noqa: ASYNC110 - a store is asked, it does not tell
                await asyncio.sleep(0.001)
        assert len(topology.owners) == 8
        owners = {owner.shard for owner in topology.owners}
        assert not owners & before
        assert before <= set(around.shards.killed)
        assert min(owner.epoch for owner in topology.owners) > 1  # no name of a shard comes twice
        assert (await router.introduce(None)).generation == 2
    async with routing(4) as another:  # the number in the settings was that of a new log
        await another.open()
        assert (await another.status())["partitions"] == 8


@pytest.mark.parametrize(("told", "shards"), [(None, 8), (3, 3)])
async def test_more_partitions_have_as_many_shards_as_were_wished_before_there_were_so_many(
    around, told, shards
):
    async with routing(4, shards=8) as router:
        assert (await router.shards())["wanted"] == 4
        if told is not None:
            await router.scale(told)
        store = around.buckets[REGISTRY_BUCKET]
        known = await store.get(LOG_KEY)
        await store.put(LOG_KEY, encode(LogRegistry("next", 8, generation=2)), known.revision)
        async with asyncio.timeout(5):
            while (await router.introduce(None)).generation == 1:  # noqa: ASYNC110 - it does not tell
                await asyncio.sleep(0.001)
        assert (await router.shards())["wanted"] == shards
        seen = len(around.shards.asked)
        await until(lambda: len(around.shards.asked) > seen)  # it looks after them


async def test_a_switch_that_nobody_carries_through_is_ended(around, monkeypatch):
    monkeypatch.setattr("flux_actors.limits.switch_patience_s", 0.01)
    async with routing() as router:
        await router.open()
        store = around.buckets[REGISTRY_BUCKET]
        before = await store.get(LOG_KEY)
        await store.put(SWITCHING_KEY, b"somebody")
        around.log.closed |= {0, 1, 2, 3}
        await until(lambda: not around.log.closed)
        async with asyncio.timeout(5):
            while await store.get(SWITCHING_KEY) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        after = await store.get(LOG_KEY)
        assert after.value == before.value
        with pytest.raises(Refused):  # whoever closed it comes too late
            await take_over(store, before.revision, LogRegistry("late", 8, generation=2))


async def test_a_partition_that_a_switch_has_left_closed_is_opened(around, monkeypatch):
    monkeypatch.setattr("flux_actors.limits.closed_look_s", 0.01)
    around.log.closed.add(2)
    async with routing() as router:
        await router.open()
        await until(lambda: not around.log.closed)
        around.log.closed.add(1)  # later than anybody expects
        await until(lambda: not around.log.closed)


async def test_a_router_that_starts_ends_a_switch_at_once(around):
    async with routing() as router:
        await router.open()
    await around.buckets[REGISTRY_BUCKET].put(SWITCHING_KEY, b"somebody")
    around.log.closed.add(2)
    async with routing() as router:
        await router.open()
        assert not around.log.closed
        assert await around.buckets[REGISTRY_BUCKET].get(SWITCHING_KEY) is None
