"""The router: every partition has a living shard, and whoever takes one over has a higher epoch."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router import router as router_module
from flux_actors.router.router import Router, fewest_positions, note_history, register_log
from flux_actors.router.topology import (
    LOG_KEY,
    TOPOLOGY_KEY,
    LogRegistry,
    Owner,
    Topology,
    decode_registry,
    decode_topology,
    encode,
)
from tests.unit.router.fake_shards import FakeShards, FlakyKeyValue, until

REGISTRY = LogRegistry("log", 4)
NOTHING = frozenset()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(router_module, "_WATCH_S", 0.0)


@pytest.fixture
def store():
    return FlakyKeyValue()


@pytest.fixture
def shards():
    return FakeShards()


async def opened(store, shards, number=1):
    router = Router(store, shards, REGISTRY, number)
    await router.open()
    return router


@asynccontextmanager
async def watching(router):
    """Have the router look after its shards meanwhile."""
    watch = asyncio.create_task(router.watch())
    try:
        yield
    finally:
        router.closing = True
        await watch


async def stored(store):
    found = await store.get(TOPOLOGY_KEY)
    return decode_topology(found.value).owners


def rounds(shards, name, count):
    """Return a condition: `name` was asked `count` times more."""
    target = shards.asked.count(name) + count
    return lambda: shards.asked.count(name) >= target


class TestThePositionsThatWereKept:
    async def test_are_the_fewest_that_any_setting_asked_for(self):
        store = MemoryKeyValue()
        for positions, fewest in ((300, 300), (500, 300), (100, 100), (400, 100)):
            await note_history(store, positions, log_is_new=positions == 300)
            assert await fewest_positions(store, positions) == fewest
        assert await fewest_positions(store, 7) == 7  # a door that reads before the router has noted it

    async def test_are_none_of_a_log_that_is_older_than_the_note(self):
        store = MemoryKeyValue()
        assert await fewest_positions(store, 500) == 0
        await note_history(store, 500, log_is_new=False)
        assert await fewest_positions(store, 500) == 0


class TestTheRegistryOfALog:
    async def test_is_made_on_the_first_start(self):
        store = MemoryKeyValue()
        registry = await register_log(store, "id", 7, frozenset({"b", "a"}))
        assert registry == LogRegistry("id", 7, ["a", "b"])
        assert decode_registry((await store.get(LOG_KEY)).value) == registry

    async def test_has_four_partitions_unless_told_otherwise(self):
        assert (await register_log(MemoryKeyValue(), "id", None, NOTHING)).partitions == 4

    @pytest.mark.parametrize("partitions", [None, 7])
    async def test_is_read_on_later_starts(self, partitions):
        store = MemoryKeyValue()
        first = await register_log(store, "id", 7, frozenset({"a"}))
        assert await register_log(store, "another", partitions, frozenset({"b"})) == first

    async def test_cannot_be_given_another_number_of_partitions(self):
        store = MemoryKeyValue()
        await register_log(store, "id", 7, NOTHING)
        with pytest.raises(Refused, match="has 7 partitions and cannot be given 3"):
            await register_log(store, "id", 3, NOTHING)

    async def test_is_not_overwritten_by_a_router_that_did_not_see_it(self, monkeypatch):
        store = MemoryKeyValue()
        first = await register_log(store, "first", 7, NOTHING)

        async def see_nothing(_):
            return None

        with monkeypatch.context() as blind:
            blind.setattr(store, "get", see_nothing)
            with pytest.raises(Refused) as refused:
                await register_log(store, "second", 3, NOTHING)
        assert refused.value.status == 409
        assert decode_registry((await store.get(LOG_KEY)).value) == first


class TestOpening:
    async def test_places_all_partitions_on_one_shard(self, store, shards):
        router = await opened(store, shards)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 1: 1, 2: 1, 3: 1}}
        assert await stored(store) == router.topology.owners == [Owner("flux-shard-0-e1", 1)] * 4

    async def test_shares_the_partitions_between_shards(self, store, shards):
        router = await opened(store, shards, 2)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 2: 1}, "flux-shard-1-e1": {1: 1, 3: 1}}
        assert router.shard_names() == ["flux-shard-0-e1", "flux-shard-1-e1"]

    async def test_makes_no_shard_without_a_partition(self, store, shards):
        await opened(store, shards, 9)
        assert len(shards.hosted) == 4

    async def test_takes_over_the_shards_that_live(self, store, shards):
        await opened(store, shards, 2)
        hosted = {name: dict(partitions) for name, partitions in shards.hosted.items()}
        router = await opened(store, shards, 2)
        assert shards.hosted == hosted
        assert [owner.epoch for owner in router.topology.owners] == [1, 1, 1, 1]

    async def test_gives_the_successor_of_a_dead_shard_a_higher_epoch(self, store, shards):
        await opened(store, shards, 2)
        shards.dies("flux-shard-1-e1")
        await opened(store, shards, 2)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 2: 1}, "flux-shard-1-e2": {1: 2, 3: 2}}
        assert [owner.epoch for owner in await stored(store)] == [1, 2, 1, 2]

    async def test_never_goes_back_to_an_epoch_when_the_shards_are_shared_anew(self, store, shards):
        owners = [Owner("x", 5), Owner("y", 9), None, Owner("x", 5)]
        await store.put(TOPOLOGY_KEY, encode(Topology(REGISTRY, owners)))
        await opened(store, shards, 2)
        assert [owner.epoch for owner in await stored(store)] == [6, 10, 6, 10]

    async def test_has_a_living_shard_adopt_what_it_lost(self, store, shards):
        await opened(store, shards)
        shards.hosted["flux-shard-0-e1"].clear()
        await opened(store, shards)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 1: 1, 2: 1, 3: 1}}


class TestWatching:
    async def test_replaces_a_dead_shard_at_once(self, store, shards):
        router = await opened(store, shards, 2)
        async with watching(router):
            shards.dies("flux-shard-1-e1")
            await until(lambda: "flux-shard-1-e2" in router.status)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 2: 1}, "flux-shard-1-e2": {1: 2, 3: 2}}
        assert await stored(store) == router.topology.owners
        assert router.topology.owners[1] == Owner("flux-shard-1-e2", 2)
        assert "flux-shard-1-e1" not in router.status

    async def test_replaces_shard_after_shard_with_ever_higher_epochs(self, store, shards):
        router = await opened(store, shards)
        async with watching(router):
            for epoch in (1, 2, 3):
                shards.dies(f"flux-shard-0-e{epoch}")
                await until(lambda epoch=epoch: f"flux-shard-0-e{epoch + 1}" in router.status)
        assert [owner.epoch for owner in await stored(store)] == [4, 4, 4, 4]

    @pytest.mark.parametrize("trouble", ["silent", "faulty"])
    async def test_kills_and_replaces_one_that_fails_three_times_in_a_row(self, store, shards, trouble):
        router = await opened(store, shards)
        getattr(shards, trouble).add("flux-shard-0-e1")
        async with watching(router):
            await until(lambda: "flux-shard-0-e2" in router.status)
        assert shards.asked.count("flux-shard-0-e1") == 3
        assert shards.killed == ["flux-shard-0-e1"]

    async def test_waits_for_one_whose_reducers_keep_it_from_answering(self, store, shards):
        router = await opened(store, shards)
        name = "flux-shard-0-e1"
        shards.silent.add(name)
        shards.reducing[name] = 1.0
        async with watching(router):
            await until(lambda: shards.asked.count(name) > 5)
            assert shards.killed == []
            shards.reducing[name] = limits.reduce_patience_s
            await until(lambda: shards.killed == [name])

    async def test_forgives_one_that_answers_in_between(self, store, shards):
        router = await opened(store, shards)
        name = "flux-shard-0-e1"
        async with watching(router):
            for _ in range(3):
                shards.silent.add(name)
                await until(rounds(shards, name, 2))
                shards.silent.clear()
                await until(rounds(shards, name, 1))
        assert shards.killed == []

    async def test_leaves_a_stopped_partition_to_a_human(self, store, shards):
        router = await opened(store, shards)
        shards.phase = "stopped"
        async with watching(router):
            await until(rounds(shards, "flux-shard-0-e1", 10))
        assert list(shards.hosted) == ["flux-shard-0-e1"]
        assert router.status["flux-shard-0-e1"][0].phase == "stopped"

    async def test_tries_again_where_no_shard_can_be_started(self, store, shards, lines):
        router = await opened(store, shards)
        shards.starts_to_fail = 3
        shards.dies("flux-shard-0-e1")
        async with watching(router):
            await until(lambda: "flux-shard-0-e2" in router.status)
        assert sum(line["event"] == "shard.start_failed" for line in lines) == 3
        assert await stored(store) == [Owner("flux-shard-0-e2", 2)] * 4

    async def test_tells_the_doors_of_a_new_shard_even_if_the_store_was_away(self, store, shards):
        router = await opened(store, shards)
        shards.dies("flux-shard-0-e1")
        store.puts_to_fail = 1
        async with watching(router):
            await until(lambda: "flux-shard-0-e2" in router.status)
            await until(rounds(shards, "flux-shard-0-e2", 10))
        assert await stored(store) == [Owner("flux-shard-0-e2", 2)] * 4

    async def test_one_that_was_overtaken_does_not_overwrite_its_successor(self, store, shards):
        overtaken = await opened(store, shards)
        shards.dies("flux-shard-0-e1")
        await opened(store, shards)
        await opened(store, FakeShards())
        newest = await stored(store)
        assert newest[0].epoch == 3
        async with watching(overtaken):
            await until(lambda: len(shards.asked) >= 10)
        assert (await stored(store))[0].epoch >= newest[0].epoch

    async def test_one_that_is_overtaken_while_it_opens_follows(self, store, shards, monkeypatch):
        first = await opened(store, FakeShards())
        start = shards.start

        async def start_late(name):
            first.topology = first.topology.with_owner([0], "elsewhere", 9)
            await first._write()  # noqa: SLF001 - another router places a partition just then
            await start(name)

        monkeypatch.setattr(shards, "start", start_late)
        second = await opened(store, shards)
        assert second.topology == first.topology

    async def test_one_that_was_overtaken_goes_on_even_if_the_store_is_away_just_then(
        self, store, shards, monkeypatch
    ):
        overtaken = await opened(store, shards)
        await opened(store, FakeShards())
        real, away = store.get, [True]

        async def get(key):
            if away and away.pop():
                raise Unavailable("the store is away")
            return await real(key)

        monkeypatch.setattr(store, "get", get)
        shards.dies("flux-shard-0-e1")
        async with watching(overtaken):  # which fails when the watch has ended by itself
            await until(lambda: not away and overtaken.topology.epoch(0) == 2)


class TestDraining:
    async def test_ends_every_shard(self, store, shards):
        router = await opened(store, shards, 3)
        await router.drain()
        assert sorted(shards.drained) == router.shard_names()
        assert len(shards.drained) == 3

    async def test_ends_the_watch(self, store, shards):
        router = await opened(store, shards)
        watch = asyncio.create_task(router.watch())
        await until(lambda: router.status)
        await router.drain()
        await asyncio.wait_for(watch, 5)

    async def test_is_not_held_up_by_the_dead_and_the_silent(self, store, shards, lines):
        router = await opened(store, shards, 3)
        shards.dies("flux-shard-0-e1")
        shards.silent.add("flux-shard-1-e1")
        await router.drain()
        assert shards.drained == ["flux-shard-2-e1"]
        assert sorted(line["shard"] for line in lines if line["event"] == "shard.not_drained") == [
            "flux-shard-0-e1",
            "flux-shard-1-e1",
        ]
