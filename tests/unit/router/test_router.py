"""The router: every partition has a living shard, and whoever takes one over has a higher epoch."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.router import moving
from flux_actors.router import router as router_module
from flux_actors.router.router import Router
from flux_actors.router.topology import (
    TOPOLOGY_KEY,
    LogRegistry,
    Owner,
    Topology,
    decode_topology,
    encode,
)
from tests.unit.router.fake_shards import FakeShards, FlakyKeyValue, until

REGISTRY = LogRegistry("log", 4)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(router_module, "_WATCH_S", 0.0)
    monkeypatch.setattr(router_module, "_AGAIN_S", 0.0)
    monkeypatch.setattr(moving, "_LOOK_S", 0.0)


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


async def settled(router):
    """Return when nothing moves any more."""
    await until(lambda: router.even)


def rounds(shards, name, count):
    """Return a condition: `name` was asked `count` times more."""
    target = shards.asked.count(name) + count
    return lambda: shards.asked.count(name) >= target


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
        assert [owner.epoch for owner in await stored(store)] == [10, 10, 10, 10]

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

        async def start_late(name, instead_of):
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


class TestScaling:
    async def test_a_new_shard_is_given_its_share_one_by_one(self, store, shards):
        router = await opened(store, shards, 1)
        async with watching(router):
            router.scale(2)
            await until(lambda: len(shards.steps) == 4)
            await settled(router)
        assert shards.hosted == {"flux-shard-0-e1": {2: 1, 3: 1}, "flux-shard-1-e2": {0: 2, 1: 2}}
        kinds = [step[0] for step in shards.steps]
        assert kinds == ["release", "lead"] * 2
        assert await stored(store) == router.topology.owners
        assert [owner.shard for owner in router.topology.owners] == ["flux-shard-1-e2"] * 2 + [
            "flux-shard-0-e1"
        ] * 2

    async def test_a_shard_too_many_gives_all_and_ends_with_its_snapshots(self, store, shards):
        router = await opened(store, shards, 2)
        async with watching(router):
            router.scale(1)
            await until(lambda: shards.killed)
            await settled(router)
        assert shards.hosted == {"flux-shard-0-e1": {0: 1, 1: 2, 2: 1, 3: 2}}
        assert (shards.drained, shards.killed) == (["flux-shard-1-e1"], ["flux-shard-1-e1"])
        assert "flux-shard-1-e1" not in router.status

    @pytest.mark.parametrize("number", [0, 5])
    async def test_there_is_a_shard_and_not_more_than_partitions(self, store, shards, number):
        router = await opened(store, shards)
        with pytest.raises(Refused, match="1 to 4 shards"):
            router.scale(number)

    async def test_another_wish_while_it_moves_is_carried_out_next(self, store, shards):
        router = await opened(store, shards, 1)
        async with watching(router):
            shards.behind = 99
            router.scale(4)
            await until(lambda: router.moving)
            router.scale(2)
            shards.behind = 0
            await until(lambda: not router.moving and len(shards.hosted) == 2)
            await settled(router)
        assert sorted(len(hosted) for hosted in shards.hosted.values()) == [2, 2]

    async def test_a_start_with_another_number_moves_what_lives(self, store, shards):
        await opened(store, shards, 1)
        router = await opened(store, shards, 2)
        assert shards.hosted["flux-shard-0-e1"] == {0: 1, 1: 1, 2: 1, 3: 1}
        async with watching(router):
            await until(lambda: len(shards.steps) == 4)
            await settled(router)
        assert {len(hosted) for hosted in shards.hosted.values()} == {2}
        third = await opened(store, shards, 1)
        async with watching(third):
            await until(lambda: len(shards.hosted) == 1)
            await settled(third)

    async def test_a_target_that_dies_on_the_way_is_replaced_and_it_goes_on(self, store, shards):
        router = await opened(store, shards, 1)
        async with watching(router):
            shards.behind = 99
            router.scale(2)
            await until(lambda: router.moving)
            shards.dies("flux-shard-1-e2")
            shards.behind = 0
            await until(
                lambda: shards.hosted.get("flux-shard-1-e3") == {0: 4, 1: 5} or len(shards.steps) >= 4
            )
            await settled(router)
        assert {len(hosted) for hosted in shards.hosted.values()} == {2}
        assert await stored(store) == router.topology.owners

    async def test_a_source_that_dies_on_the_way_is_replaced_and_it_goes_on(self, store, shards):
        router = await opened(store, shards, 1)
        async with watching(router):
            shards.behind = 99
            router.scale(2)
            await until(lambda: router.moving)
            shards.dies("flux-shard-0-e1")
            shards.behind = 0
            await until(lambda: len(shards.steps) >= 4)
            await settled(router)
        assert {len(hosted) for hosted in shards.hosted.values()} == {2}

    async def test_a_target_that_does_not_lead_leaves_the_partition_where_it_was(self, store, shards, lines):
        router = await opened(store, shards, 1)
        shards.leads_to_fail = 1
        async with watching(router):
            router.scale(2)
            await until(lambda: sum(step[0] == "lead" for step in shards.steps) == 2)
            await settled(router)
        assert [line["event"] for line in lines].count("shards.not_even_yet") == 1
        assert {len(hosted) for hosted in shards.hosted.values()} == {2}
        assert router.topology.owners[0] == Owner("flux-shard-1-e2", shards.hosted["flux-shard-1-e2"][0])

    async def test_a_router_that_died_between_two_owners_is_followed_by_one_that_looks(self, store, shards):
        await opened(store, shards, 2)
        shards.hosted["flux-shard-0-e1"].pop(2)
        shards.hosted["flux-shard-1-e1"][2] = 5  # it leads, and the topology does not know
        router = await opened(store, shards, 2)
        assert router.topology.owners[2] == Owner("flux-shard-1-e1", 5)
        assert await stored(store) == router.topology.owners

    async def test_a_router_that_died_while_one_followed_has_it_let_go(self, store, shards):
        await opened(store, shards, 2)
        await shards.follow("flux-shard-1-e1", 2, 9)
        router = await opened(store, shards, 2)
        assert router.topology.owners[2] == Owner("flux-shard-0-e1", 1)
        assert shards.hosted["flux-shard-1-e1"] == {1: 1, 3: 1}

    async def test_shards_that_the_topology_does_not_know_are_ended(self, store, shards):
        shards.hosted["flux-shard-7-e9"] = {}
        await opened(store, shards, 1)
        assert (shards.killed, list(shards.hosted)) == (["flux-shard-7-e9"], ["flux-shard-0-e1"])


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
