"""Which node is lost: one that holds what it should, and what is done when that is on the head's."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flux_actors.errors import Unavailable
from flux_cluster.chaos import ray_faults
from flux_cluster.chaos.fault import Prepared
from flux_cluster.chaos.ray_faults import NodeKill
from flux_cluster.chaos.ray_nodes import RayNode

HEAD, OTHER, THIRD = 0, 1, 2


class Process:
    """One on a node, which the world starts elsewhere when it is killed."""

    def __init__(self, world: World, pid: int) -> None:
        self.pid = pid
        self._world = world

    def kill(self) -> None:
        self._world.kills += 1
        self._world.places[self.pid].pop(0)


class World:
    """Nodes, of which the first is the head, and processes: each comes back at its next place."""

    def __init__(self, *places: list[int]) -> None:
        self.ray = self
        self.nodes = {number: RayNode(number, {}, None) for number in (HEAD, OTHER, THIRD)}
        self.places = list(places)
        self.lost: list[int] = []
        self.kills = self.rests = 0

    def processes(self, title: str) -> list[Process]:
        assert title in {"ray::NamespaceRouter", "ray::ShardProcess"}
        return [Process(self, pid) for pid in range(len(self.places))]

    async def kill(self, node: RayNode) -> None:
        self.lost.append(node.number)

    async def rest(self) -> None:
        self.rests += 1


@pytest.fixture
def world_of(monkeypatch):
    """Make a world whose processes are at some places, one after the other."""
    monkeypatch.setattr(ray_faults, "lives", lambda process: False)

    def make(*places: list[int]) -> Any:
        world = World(*places)
        monkeypatch.setattr(ray_faults, "node_of", lambda pid: str(world.places[pid][0]))
        return world

    return make


async def test_a_node_with_the_router_is_lost_where_one_can_be(world_of):
    for seed in range(8):
        world = world_of([THIRD])
        assert await NodeKill(holds="router").inject(world, random.Random(seed)) == "node 2"
        assert (world.lost, world.kills) == ([THIRD], 0)


async def test_a_router_on_the_heads_node_is_killed_until_it_is_elsewhere_before_the_load_begins(world_of):
    world = world_of([HEAD, HEAD, OTHER])
    fault = NodeKill(holds="router")
    assert isinstance(fault, Prepared)
    await fault.prepare(world)
    assert (world.kills, world.rests, world.lost) == (2, 1, [])
    await fault.inject(world, random.Random(1))
    assert (world.kills, world.lost) == (2, [OTHER])


async def test_shards_stay_where_they_are_if_one_of_them_can_be_lost(world_of):
    world = world_of([HEAD], [OTHER])
    await NodeKill(holds="shard").inject(world, random.Random(1))
    assert (world.kills, world.lost) == (0, [OTHER])
    world = world_of([HEAD, OTHER], [HEAD, THIRD])
    await NodeKill(holds="shard").inject(world, random.Random(1))
    assert world.kills == 2


async def test_a_router_that_stays_there_is_told_and_no_other_node_is_lost(world_of, monkeypatch):
    monkeypatch.setattr(ray_faults, "_ELSEWHERE_S", 0.02)
    world = world_of([HEAD] * 100_000)
    for fault in (
        NodeKill(holds="router").prepare(world),
        NodeKill(holds="router").inject(world, random.Random(1)),
    ):
        with pytest.raises(Unavailable, match="the router is on the head's node, which is not to be lost"):
            await fault
    assert world.lost == []
