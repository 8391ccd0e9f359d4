"""The router: every partition has a living shard, and whoever takes one over has a higher epoch."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.router import router as router_module
from flux_actors.router.topology import (
    TOPOLOGY_KEY,
    Owner,
    Topology,
    decode_topology,
    encode,
)
from tests.unit.router.fake_shards import FakeShards, until
from tests.unit.router.routing import REGISTRY, opened, rounds, stored, watching

pytestmark = pytest.mark.usefixtures("impatient")


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
        if trouble == "faulty":
            shards.reducing["flux-shard-0-e1"] = 0.0  # it answers, so its other thread does, too
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

    async def test_asks_one_that_stands_still_for_everything_at_once(self, store, shards):
        """Asked one after the other, a shard that answers nothing would be found after twice the time."""
        router = await opened(store, shards)
        name, waiting, beside = "flux-shard-0-e1", set(), []

        async def status(*_):
            waiting.add("status")
            await asyncio.sleep(0.01)
            waiting.discard("status")
            raise TimeoutError

        async def reducing_s(*_):
            beside.append(set(waiting))

        shards.status, shards.reducing_s = status, reducing_s
        async with watching(router):
            await until(lambda: shards.killed == [name])
        assert beside == [{"status"}] * 2

    async def test_waits_longer_for_one_that_is_busy_and_not_for_ever(self, store, shards):
        """Whose other thread answers: to replace it would cost its partitions a recovery."""
        router = await opened(store, shards)
        shards.silent.add("flux-shard-0-e1")
        shards.reducing["flux-shard-0-e1"] = 0.0
        async with watching(router):
            await until(lambda: "flux-shard-0-e2" in router.status)
        assert shards.asked.count("flux-shard-0-e1") == 7

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

    @pytest.mark.parametrize("fault", [TimeoutError(), Unavailable("busy"), Refused("no s3fs on this node")])
    async def test_tries_again_where_no_shard_can_be_started(self, store, shards, lines, fault):
        router = await opened(store, shards)
        shards.starts_to_fail, shards.start_fault = 3, fault
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

    async def test_one_whose_topology_was_forgotten_writes_it_again(self, store, shards, monkeypatch):
        """As one of a Ray cluster that is long gone, by another on the same log."""
        monkeypatch.setattr(router_module, "_FRESH_S", 0.0)
        router = await opened(store, shards)
        await store.delete(TOPOLOGY_KEY)
        async with watching(router):
            async with asyncio.timeout(5):
                while await store.get(TOPOLOGY_KEY) is None:  # noqa: ASYNC110 - the store does not tell
                    await asyncio.sleep(0)
        assert await stored(store) == router.topology.owners

    async def test_its_own_write_whose_answer_was_lost_does_not_overtake_it(self, store, shards):
        router = await opened(store, shards)
        async with watching(router):
            router.scale(2)
            await until(lambda: router.even)
            store.answers_to_lose = 1
            shards.dies(router.shard_names()[0])
            await until(lambda: not store.answers_to_lose)
            router.scale(3)
            await until(lambda: router.even)
        stored = decode_topology((await store.get(TOPOLOGY_KEY)).value)
        assert stored == router.topology
        assert len(router.placed()) == 3

    async def test_a_shard_that_only_follows_what_it_owns_is_made_to_lead(self, store, shards):
        await opened(store, shards, 2)
        shards.dies("flux-shard-1-e1")
        await shards.follow("flux-shard-0-e1", 1, 9)  # by a router that is no more
        shards.following_phase = "recovering"
        router = await opened(store, shards, 2)
        assert router.topology.owners[1] == Owner("flux-shard-0-e1", 9)
        shards.following_phase = "following"
        async with watching(router):
            await until(lambda: not shards.following)
        assert shards.hosted["flux-shard-0-e1"][1] == 9

    async def test_it_does_not_overtake_itself(self, store, shards, monkeypatch, lines):
        router = await opened(store, shards)
        put, both = store.put, []

        async def put_slowly(*given):
            both.append(given)
            for _ in range(50):  # while the router looks after its shards
                await asyncio.sleep(0)
            return await put(*given)

        monkeypatch.setattr(store, "put", put_slowly)
        async with watching(router):
            router.scale(4)
            await until(lambda: router.even)
        assert len(both) > 1
        assert len(router.placed()) == 4
        assert decode_topology((await store.get(TOPOLOGY_KEY)).value) == router.topology
        assert sorted(shards.hosted) == sorted(router.placed())
        assert "topology.overtaken" not in {line["event"] for line in lines}

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
