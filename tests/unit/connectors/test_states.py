"""What Flux holds, asked of shards that have applied all of the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from flux_actors.connectors import states
from flux_actors.connectors.states import ShardStates
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryKeyValue, MemoryLog
from flux_actors.router.topology import TOPOLOGY_KEY, LogRegistry, Topology, encode
from flux_actors.shard import reads

PARTITIONS = 2
RULE = Partitioning(PARTITIONS)


class FakeShard:
    """A shard that holds what a test says, and applies a block each time it is asked."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.sequence = 0
        self.asked: list[dict[int, list[str]]] = []
        self.fault: Exception | None = None
        self.get = SimpleNamespace(remote=self._get)

    async def _get(self, wanted: dict[int, list[str]]) -> bytes:
        self.asked.append(wanted)
        if self.fault is not None:
            raise self.fault
        self.sequence += 1
        answers = {}
        for partition, ids in wanted.items():
            rows = [EntityRow(i, self.entities[i], pack(1, 0), 0) for i in ids if i in self.entities]
            answers[partition] = reads.Readings(self.sequence, rows)
        return reads.encode(answers)


@pytest.fixture
async def shard(monkeypatch) -> FakeShard:
    shard = FakeShard()
    monkeypatch.setattr(states.ray, "get_actor", lambda name, namespace: shard)
    monkeypatch.setattr(states, "_BEHIND_S", 0.0)
    return shard


@pytest.fixture
async def asked_of(shard) -> Any:
    log, topology = MemoryLog(PARTITIONS), MemoryKeyValue()
    placed = Topology(LogRegistry("id", PARTITIONS), [None] * PARTITIONS).with_owner([0, 1], "shard", 1)
    await topology.put(TOPOLOGY_KEY, encode(placed))
    return SimpleNamespace(states=ShardStates(log, topology, RULE), log=log, topology=topology)


async def test_those_that_exist_are_told_from_all_partitions(shard, asked_of):
    ids = [f"n{number}/x" for number in range(6)]
    shard.entities = {entity_id: {"of": entity_id} for entity_id in ids[:4]}
    assert await asked_of.states.properties(ids) == shard.entities
    assert {partition for wanted in shard.asked for partition in wanted} == {0, 1}


async def test_a_shard_behind_the_log_is_asked_until_it_is_not(shard, asked_of):
    partition = RULE.of_entity("a/x")
    for number in range(5):
        await asked_of.log.append(partition, b"", str(number), 1)
    await asked_of.states.properties(["a/x"])
    assert len(shard.asked) == 5


async def test_one_that_stays_behind_is_given_up(shard, asked_of, monkeypatch):
    monkeypatch.setattr(states, "_TRIES", 2)
    partition = RULE.of_entity("a/x")
    for number in range(5):
        await asked_of.log.append(partition, b"", str(number), 1)
    with pytest.raises(Unavailable, match="behind the log"):
        await asked_of.states.properties(["a/x"])


FAULTS = [RayActorError(), TimeoutError(), RayTaskError("get", "traceback", ValueError())]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_dead_shard_is_told(shard, asked_of, fault):
    shard.fault = fault
    with pytest.raises(Unavailable, match="does not answer"):
        await asked_of.states.properties(["a/x"])


async def test_a_recovering_one_says_so_itself(shard, asked_of):
    shard.fault = RayTaskError("get", "traceback", Unavailable("recovering")).as_instanceof_cause()
    with pytest.raises(Unavailable, match="recovering"):
        await asked_of.states.properties(["a/x"])


async def test_a_partition_without_a_shard_is_told(shard, asked_of):
    empty = Topology(LogRegistry("id", PARTITIONS), [None] * PARTITIONS)
    await asked_of.topology.put(TOPOLOGY_KEY, encode(empty))
    with pytest.raises(Unavailable, match="no shard yet"):
        await asked_of.states.properties(["a/x"])


async def test_many_are_asked_for_in_parts(shard, asked_of, monkeypatch):
    monkeypatch.setattr("flux_actors.limits.fetch_ids_max", 10)
    await asked_of.states.properties([f"a/{number}" for number in range(25)])
    assert [len(ids) for wanted in shard.asked for ids in wanted.values()] == [10, 10, 5]
