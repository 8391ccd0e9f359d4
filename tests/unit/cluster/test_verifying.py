"""Asking shards for digests through Ray: the owner that the topology names, and again while it changes."""

from __future__ import annotations

import asyncio

import pytest
from ray.exceptions import RayActorError, RayTaskError

from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Owner, Topology, encode
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import DigestWriter, decode_digest
from flux_cluster import verifying

DIGEST = b"".join(iter(Cut(PartitionState(1), "", DigestWriter).next_slice, None))


class FakeRay:
    """Actors by name; each call to one takes the next of its answers."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def get_actor(self, name, namespace):
        if name not in self.answers:
            raise ValueError(name)
        return FakeActor(self, name)


class FakeActor:
    """An actor whose only method is `digest`."""

    def __init__(self, ray, name):
        self.digest, self._ray, self._name = self, ray, name

    def remote(self, *arguments):
        self._ray.asked.append((self._name, *arguments))
        answer = asyncio.get_running_loop().create_future()
        found = self._ray.answers[self._name].pop(0)
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)
        return answer


def failed(cause):
    return RayTaskError("digest", "", cause)


@pytest.fixture
def ray(monkeypatch):
    fake = FakeRay()
    monkeypatch.setattr(verifying.ray, "get_actor", fake.get_actor)
    monkeypatch.setattr(verifying, "_RETRY_S", 0.0)
    return fake


async def placed(*owners):
    store = MemoryKeyValue()
    topology = Topology(
        LogRegistry("log", len(owners)), [Owner(name, 1) if name else None for name in owners]
    )
    await store.put(TOPOLOGY_KEY, encode(topology))
    return store


async def test_owner_of_the_partition_is_asked(ray):
    shards = verifying._RayShards(await placed("one", "two"))  # noqa: SLF001
    ray.answers = {"one": [], "two": [DIGEST]}
    assert (await shards.registry()).partitions == 2
    assert await shards.digest(1, ["a"], [3]) == decode_digest(DIGEST)
    assert ray.asked == [("two", 1, ["a"], [3])]


async def test_partition_that_is_away_for_a_moment_is_asked_again(ray):
    store = await placed(None)
    shards = verifying._RayShards(store)  # noqa: SLF001
    ray.answers = {"one": [failed(Unavailable("recovering")), RayActorError(), failed(KeyError("x")), DIGEST]}
    asked = asyncio.create_task(shards.digest(0, [], []))
    await asyncio.sleep(0)
    await store.put(TOPOLOGY_KEY, encode(Topology(LogRegistry("log", 1), [Owner("gone", 1)])))
    await asyncio.sleep(0)
    await store.put(TOPOLOGY_KEY, encode(Topology(LogRegistry("log", 1), [Owner("one", 2)])))
    assert await asked == decode_digest(DIGEST)


async def test_partition_that_stays_away_is_told(ray, monkeypatch):
    monkeypatch.setattr(verifying, "_TRIES", 2)
    shards = verifying._RayShards(await placed(None))  # noqa: SLF001
    with pytest.raises(Unavailable, match="nobody hosts partition 0"):
        await shards.digest(0, [], [])


async def test_what_a_shard_refuses_for_good_is_told_at_once(ray):
    shards = verifying._RayShards(await placed("one"))  # noqa: SLF001
    ray.answers = {"one": [failed(Corrupt("it lies")), DIGEST]}
    with pytest.raises(Corrupt, match="it lies"):
        await shards.digest(0, [], [])


async def test_log_that_never_had_shards_is_refused(ray):
    with pytest.raises(Refused, match="no shards yet"):
        await verifying._RayShards(MemoryKeyValue()).registry()  # noqa: SLF001
