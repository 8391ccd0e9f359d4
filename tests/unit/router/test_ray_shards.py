"""Shards as Ray actors: what a dead, silent or unknown actor means to the router."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from ray.exceptions import RayActorError, RaySystemError, RayTaskError

from flux_actors.behaviour.roster import ActorRow, ActorState
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router import ray_shards
from flux_actors.router.ray_shards import RayShards
from flux_actors.router.shard_host import ShardGone
from flux_actors.shard import reads
from flux_actors.shard.memory import MemoryPlan
from flux_actors.shard.partition import PartitionStatus
from flux_actors.shard.plan import ShardPlan
from flux_actors.shard.retention import Retention

A, B = "a" * 56, "b" * 56  # Ray nodes
STATUS = PartitionStatus(2, 3, "running", 4, 5, 6, 7, 8, 9, None)


class FakeActor:
    """An actor whose methods answer from a table; an exception in it is raised."""

    def __init__(self, **answers):
        self._answers = answers
        self.calls = []

    def __getattr__(self, method):
        return FakeMethod(self, method)

    async def answer(self, method, arguments):
        self.calls.append((method, *arguments))
        found = self._answers.get(method)
        if isinstance(found, Exception):
            raise found
        if found == "silence":
            await asyncio.Event().wait()
        return found


class FakeMethod:
    """A method of an actor."""

    def __init__(self, actor, name):
        self._actor = actor
        self._name = name

    def remote(self, *arguments):
        return self._actor.answer(self._name, arguments)


@pytest.fixture
def actors(monkeypatch):
    """The actors that Ray knows, by name."""
    known = {}

    def get_actor(name, namespace):
        assert namespace == "flux"
        if name not in known:
            raise ValueError(name)
        return known[name]

    monkeypatch.setattr(ray_shards.ray, "get_actor", get_actor)
    return known


@pytest.fixture(autouse=True)
def cluster(monkeypatch):
    """The nodes that Ray knows."""
    nodes = [{"NodeID": name, "Alive": True, "Resources": {}} for name in (A, B)]
    monkeypatch.setattr(ray_shards.ray, "nodes", lambda: nodes)
    return nodes


@pytest.fixture
def shards():
    return RayShards(NatsAccess("nats://nowhere"), ShardPlan("snapshots", Partitioning(4)))


async def test_of_one_that_says_nothing_no_reducers_are_known(actors, shards):
    dead = RayActorError()
    actors |= {"busy": FakeActor(reducing_s=1.5), "still": FakeActor(reducing_s="silence")}
    actors["dead"] = FakeActor(reducing_s=dead)
    assert await shards.reducing_s("busy", 1.0) == 1.5
    assert [await shards.reducing_s(name, 0.01) for name in ("still", "dead", "unknown")] == [None] * 3


async def test_a_status_comes_back_as_it_was_given(actors, shards):
    actors["one"] = FakeActor(status=[tuple(STATUS)])
    assert await shards.status("one", 1.0) == [STATUS]


async def test_partitions_are_adopted_one_by_one(actors, shards):
    actors["one"] = FakeActor()
    await shards.adopt("one", [1, 3], 7)
    assert actors["one"].calls == [("adopt", 1, 7), ("adopt", 3, 7)]


async def test_totals_and_properties_are_decoded(actors, shards):
    row = reads.NamespaceRow("home", 2, 5)
    readings = {1: reads.Readings(1, [reads.EntityRow("home/a", {"v": 1}, 0, 0)])}
    actors["one"] = FakeActor(namespaces=reads.encode([row]), get=reads.encode(readings))
    assert await shards.namespaces("one") == [("home", 2, 5)]
    assert await shards.properties("one", 1, "home/a") == {"v": 1}


async def test_an_entity_that_is_not_there_has_no_properties(actors, shards):
    actors["one"] = FakeActor(get=reads.encode({1: reads.Readings(1, [])}))
    assert await shards.properties("one", 1, "home/a") is None


async def test_an_actor_that_died_or_never_was_is_gone(actors, shards):
    actors["dead"] = FakeActor(status=RayActorError())
    for name in ("dead", "unknown"):
        with pytest.raises(ShardGone):
            await shards.status(name, 1.0)


async def test_the_successor_of_a_dead_actor_is_found_under_the_same_name(actors, shards):
    actors["one"] = FakeActor(status=RayActorError())
    with pytest.raises(ShardGone):
        await shards.status("one", 1.0)
    actors["one"] = FakeActor(status=[])
    assert await shards.status("one", 1.0) == []


async def test_a_fault_of_ray_or_of_the_shards_own_is_no_end_of_the_watch(actors, shards):
    fault = RayTaskError("status", "traceback", ValueError("a fault"))
    for number, error in enumerate([RaySystemError("lost"), fault, fault.as_instanceof_cause()]):
        actors[f"shard-{number}"] = FakeActor(status=error)
        with pytest.raises(Unavailable):
            await shards.status(f"shard-{number}", 1.0)


@pytest.mark.parametrize(
    ("fault", "told"), [(RayActorError(), ShardGone), (RaySystemError("lost"), Unavailable)]
)
async def test_one_that_dies_while_it_starts_is_told_as_any_other(monkeypatch, shards, fault, told):
    shell = type(
        "Shell", (), {"options": lambda self, **_: self, "remote": lambda self: FakeActor(open=fault)}
    )
    monkeypatch.setattr(ray_shards, "RemoteShard", shell())
    with pytest.raises(told):
        await shards.start("one")


async def test_what_ray_cannot_start_just_now_is_tried_again(monkeypatch, shards):
    def away():
        raise RuntimeError("no head node")

    monkeypatch.setattr(ray_shards.ray, "nodes", away)
    with pytest.raises(Unavailable, match="no head node"):
        await shards.start("one")


async def test_a_shard_is_told_its_plan(monkeypatch):
    memory = MemoryPlan(5_000_000, Path("data"))
    plan = ShardPlan("snapshots", Partitioning(4), memory=memory, retention=Retention(5, 25))
    actor = FakeActor()
    shell = type("Shell", (), {"options": lambda self, **_: self, "remote": lambda self: actor})
    monkeypatch.setattr(ray_shards, "RemoteShard", shell())
    access = NatsAccess("nats://nowhere")
    await RayShards(access, plan).start("one")
    assert actor.calls == [("open", access, plan)]


async def test_one_that_does_not_answer_is_not_waited_for_longer_than_asked(actors, shards):
    actors["one"] = FakeActor(status="silence")
    with pytest.raises(TimeoutError):
        await shards.status("one", 0.001)


async def test_the_named_actors_of_our_namespace_may_be_shards(shards, monkeypatch):
    known = [
        {"name": "two", "namespace": "flux"},
        {"name": "x", "namespace": "y"},
        {"name": "one", "namespace": "flux"},
    ]
    monkeypatch.setattr(ray_shards.ray.util, "list_named_actors", lambda all_namespaces: known)
    assert await shards.names() == ["one", "two"]


async def test_a_successor_is_not_started_where_its_predecessor_failed(monkeypatch, shards, actors):
    asked = []

    class Shell:
        def options(self, **options):
            asked.append(options["scheduling_strategy"].node_id)
            return self

        def remote(self):
            return FakeActor(open=asked[-1])

    monkeypatch.setattr(ray_shards, "RemoteShard", Shell())
    for name in ("one", "two", "three"):
        await shards.start(name)
    assert shards.nodes() == {"one": A, "two": B, "three": A}
    await shards.start("four", "one")
    assert shards.nodes() == {"two": B, "three": A, "four": B}


async def test_shards_that_start_at_the_same_time_go_to_different_nodes(monkeypatch, shards):
    asked = []

    class Shell:
        def options(self, **options):
            asked.append(options)
            return self

        def remote(self):
            return FakeActor(open=asked[-1]["scheduling_strategy"].node_id)

    monkeypatch.setattr(ray_shards, "RemoteShard", Shell())
    await asyncio.gather(*(shards.start(name) for name in ("one", "two")))
    assert sorted(shards.nodes().values()) == [A, B]
    # Ray has a node that was lost find a place for what asks for nothing.
    assert [options["memory"] > 0 for options in asked] == [True, True]


async def test_a_shard_that_was_ended_does_not_count_where_it_was(monkeypatch, shards):
    class Shell:
        def options(self, **options):
            self.node = options["scheduling_strategy"].node_id
            return self

        def remote(self):
            return FakeActor(open=self.node)

    monkeypatch.setattr(ray_shards, "RemoteShard", Shell())
    monkeypatch.setattr(ray_shards.ray, "kill", lambda actor, no_restart: None)
    for name in ("one", "two", "three"):
        await shards.start(name)
    for name in ("one", "three"):
        await shards.kill(name)
    await shards.start("four")
    assert shards.nodes()["four"] == A


async def test_a_partition_is_followed_led_and_released(actors, shards):
    actors["one"] = actor = FakeActor(release=7)
    await shards.follow("one", 2, 5)
    await shards.lead("one", 2, 5, 6)
    assert await shards.release("one", 2) == 7
    assert actor.calls == [("follow", 2, 5), ("lead", 2, 5, 6), ("release", 2)]


async def test_killing_the_dead_is_no_error(actors, shards):
    await shards.kill("one")


async def test_killing_ends_the_actor_for_good(actors, shards, monkeypatch):
    killed = []
    monkeypatch.setattr(ray_shards.ray, "kill", lambda actor, no_restart: killed.append((actor, no_restart)))
    actors["one"] = FakeActor()
    await shards.kill("one")
    assert killed == [(actors["one"], True)]


async def test_draining_asks_the_actor(actors, shards):
    actors["one"] = FakeActor()
    await shards.drain("one")
    assert actors["one"].calls == [("drain",)]


async def test_ids_of_entities_come_back(actors, shards):
    actors["one"] = FakeActor(matching=["a/1", "a/2"])
    assert await shards.matching("one", 2, "a/", 9) == ["a/1", "a/2"]
    assert actors["one"].calls == [("matching", 2, "a/", 9)]


async def test_entities_that_act_come_back_as_rows_and_are_acted_on(actors, shards):
    row = ActorRow("a/1", "Fan", 1, "hosted", "0a", False, ActorState.IDLE, 2, 0, "", 0, None)
    actor = actors["one"] = FakeActor(actors=msgspec.msgpack.encode([row]))
    assert await shards.actors("one", 2, "a/", 9) == [row]
    await shards.act_on("one", 2, "kill", "a/1")
    assert actor.calls == [("actors", 2, "a/", 9), ("act_on", 2, "kill", "a/1")]
