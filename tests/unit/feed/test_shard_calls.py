"""Calling shards: by the newest topology, and every fault a reason to try again."""

from __future__ import annotations

import asyncio

import pytest
from ray.exceptions import RayActorError, RaySystemError, RayTaskError

from flux_actors import limits
from flux_actors.errors import Moved, Refused, Unavailable
from flux_actors.feed import shard_calls as shards_module
from flux_actors.feed.shard_calls import RayShardCalls
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Owner, Topology, encode
from tests.unit.api.standing import until

REGISTRY = LogRegistry("log", 2)
TOPOLOGY = Topology(REGISTRY, [Owner("one", 1), None])


class FakeActor:
    """An actor whose only method answers, fails, or keeps silent."""

    def __init__(self, answer):
        self._answer = answer
        self.get = self
        self.asked = []

    def remote(self, *arguments):
        self.asked.append(arguments)
        return self._reply()

    async def _reply(self):
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer == "silence":
            await asyncio.Event().wait()
        return self._answer


@pytest.fixture
def actors(monkeypatch):
    known = {}

    def get_actor(name, namespace):
        if name not in known:
            raise ValueError(name)
        return known[name]

    monkeypatch.setattr(shards_module.ray, "get_actor", get_actor)
    return known


@pytest.fixture
def store():
    return MemoryKeyValue()


@pytest.fixture
def calls(store):
    return RayShardCalls(store, TOPOLOGY, "flux")


async def test_the_owner_of_the_partition_is_asked(actors, calls):
    actors["one"] = FakeActor(b"answer")
    assert await calls.call(0, "get", {0: ["n/e"]}) == b"answer"
    assert actors["one"].asked == [({0: ["n/e"]},)]
    assert (calls.owner(0), calls.owner(1)) == ("one", "")


@pytest.mark.parametrize(
    "fault",
    [
        RayActorError(),
        RaySystemError("lost"),
        RayTaskError("get", "traceback", ValueError("a fault")),
        RayTaskError("get", "traceback", Unavailable("recovering")),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{type(getattr(fault, 'cause', None)).__name__}",
)
async def test_every_fault_of_a_shard_is_a_reason_to_try_again(actors, calls, fault):
    actors["one"] = FakeActor(fault)
    with pytest.raises(Unavailable):
        await calls.call(0, "get")


async def test_a_refusal_of_a_shard_stays_one(actors, calls):
    actors["one"] = FakeActor(RayTaskError("get", "traceback", Refused("change it", 409)))
    with pytest.raises(Refused, match="change it") as refused:
        await calls.call(0, "get")
    assert refused.value.status == 409


async def test_a_partition_without_an_owner_is_unavailable(actors, calls):
    with pytest.raises(Unavailable, match="partition 1 is being restarted"):
        await calls.call(1, "get")


async def moved_to(store, shard):
    await store.put(TOPOLOGY_KEY, encode(Topology(REGISTRY, [Owner(shard, 2), None])))


def moving():
    return FakeActor(RayTaskError("get", "traceback", Moved(0)))


async def test_a_partition_that_has_moved_is_asked_for_where_it_is(actors, calls, store):
    actors["one"], actors["two"] = moving(), FakeActor(b"answer")
    await moved_to(store, "two")
    assert await calls.call(0, "get", 7) == b"answer"
    assert (actors["one"].asked, actors["two"].asked) == ([(7,)], [(7,)])
    assert calls.owner(0) == "two"


@pytest.mark.parametrize("ended", [None, FakeActor(RayActorError())], ids=["unknown", "dead"])
async def test_of_a_shard_that_ended_when_all_had_moved_nobody_hears(actors, calls, store, ended):
    actors["two"] = FakeActor(b"answer")
    if ended is not None:
        actors["one"] = ended
    await moved_to(store, "two")
    assert await calls.call(0, "get", 7) == b"answer"


async def test_a_partition_between_two_shards_is_waited_for(actors, calls, store):
    actors["one"], actors["two"] = moving(), FakeActor(b"answer")
    asking = [asyncio.create_task(calls.call(0, "get")) for _ in range(3)]
    await until(lambda: len(actors["one"].asked) > 6)
    await moved_to(store, "two")
    assert await asyncio.gather(*asking) == [b"answer"] * 3


async def test_a_partition_that_does_not_arrive_is_not_waited_for_any_longer(actors, calls, monkeypatch):
    monkeypatch.setattr(limits, "moving_wait_s", 0.5)
    actors["one"] = moving()
    with pytest.raises(Moved):
        await calls.call(0, "get")
    assert len(actors["one"].asked) > 1


async def test_that_another_partition_has_moved_is_told_at_once(actors, calls):
    actors["one"] = FakeActor(RayTaskError("get", "traceback", Moved(1)))
    with pytest.raises(Moved):
        await calls.call(0, "get")
    assert len(actors["one"].asked) == 1


async def test_a_shard_that_keeps_silent_is_unavailable(actors, calls, monkeypatch):
    monkeypatch.setattr(shards_module, "_CALL_S", 0.001)
    actors["one"] = FakeActor("silence")
    with pytest.raises(Unavailable, match="does not answer"):
        await calls.call(0, "get")


async def test_after_a_death_the_actor_is_looked_up_again(actors, calls):
    actors["one"] = FakeActor(RayActorError())
    with pytest.raises(Unavailable):
        await calls.call(0, "get")
    actors["one"] = FakeActor(b"answer")
    assert await calls.call(0, "get") == b"answer"


async def test_the_topology_of_the_store_is_followed_even_after_it_was_away(
    actors, calls, store, monkeypatch, lines
):
    async def away(_):
        raise Unavailable("the store cannot be reached")

    monkeypatch.setattr(shards_module, "_POLL_S", 0.0)
    calls.start()
    with monkeypatch.context() as outage:
        outage.setattr(store, "get", away)
        await until(lambda: any(line["event"] == "topology.unread" for line in lines))
    await store.put(TOPOLOGY_KEY, encode(Topology(REGISTRY, [Owner("two", 2), Owner("two", 2)])))
    await until(lambda: calls.owner(0) == "two")
    assert calls.topology.epoch(1) == 2
    await calls.stop()
