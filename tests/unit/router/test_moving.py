"""Moving a partition: the target comes near, the source lets go, the target leads."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Unavailable
from flux_actors.router import moving
from flux_actors.router.moving import Move, come_near, hand_over
from flux_actors.router.shard_host import ShardGone
from tests.unit.router.fake_shards import FakeShards, until

MOVE = Move(2, "old", "new", 4)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(moving, "_LOOK_S", 0.0)


@pytest.fixture
def shards():
    return FakeShards({"old": {2: 3}, "new": {}}, sequence=1_000)


async def test_the_target_follows_until_it_is_near(shards):
    shards.behind = 65
    near = asyncio.create_task(come_near(shards, MOVE))
    await until(lambda: shards.asked.count("new") > 3)
    assert not near.done()
    shards.behind = 64
    await near
    assert shards.hosted == {"old": {2: 3}, "new": {2: 4}}
    assert shards.following == {("new", 2)}


async def test_one_that_recovers_is_not_near_whatever_it_says(shards):
    shards.following_phase = "recovering"
    near = asyncio.create_task(come_near(shards, MOVE))
    await until(lambda: shards.asked.count("new") > 3)
    assert not near.done()
    shards.following_phase = "following"
    await near


async def test_a_target_that_stops_is_told(shards):
    shards.following_phase = "stopped"
    with pytest.raises(Unavailable, match="new cannot read partition 2"):
        await come_near(shards, MOVE)


async def test_a_target_that_is_replaced_meanwhile_is_told(shards):
    shards.behind = 99
    near = asyncio.create_task(come_near(shards, MOVE))
    await until(lambda: shards.asked.count("new") > 3)
    shards.hosted["new"] = {}
    with pytest.raises(Unavailable, match="does not host partition 2"):
        await near


@pytest.mark.parametrize("dead", ["old", "new"])
async def test_a_shard_that_dies_meanwhile_ends_it(shards, dead):
    shards.behind = 99
    near = asyncio.create_task(come_near(shards, MOVE))
    await until(lambda: shards.asked.count("new") > 3)
    shards.dies(dead)
    with pytest.raises(ShardGone):
        await near


async def test_a_busy_shard_may_leave_some_calls_unanswered(shards):
    shards.silent.add("new")
    near = asyncio.create_task(come_near(shards, MOVE))
    await until(lambda: shards.asked.count("new") == 3)
    shards.silent.clear()
    await near
    shards.silent.add("new")
    with pytest.raises(TimeoutError):
        await come_near(shards, MOVE)


async def test_the_source_lets_go_before_the_target_leads(shards):
    await come_near(shards, MOVE)
    await hand_over(shards, MOVE)
    assert shards.steps == [("release", "old", 2), ("lead", "new", 2)]
    assert shards.hosted == {"old": {}, "new": {2: 4}}
    assert shards.following == set()


async def test_a_source_that_is_dead_has_let_go(shards):
    await come_near(shards, MOVE)
    shards.dies("old")
    await hand_over(shards, MOVE)
    assert shards.hosted == {"new": {2: 4}}
