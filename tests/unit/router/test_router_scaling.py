"""Another number of shards: partitions move one by one, and whoever dies on the way leaves nobody alone."""

from __future__ import annotations

import pytest

from flux_actors.errors import Refused
from flux_actors.router.topology import Owner
from tests.unit.router.fake_shards import until
from tests.unit.router.routing import opened, settled, stored, watching

pytestmark = pytest.mark.usefixtures("impatient")


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
