"""The topology: who owns each partition, since which epoch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.log.generations import origin_of
from flux_actors.router.topology import (
    LogRegistry,
    Owner,
    Topology,
    decode_registry,
    decode_topology,
    encode,
    place,
)

REGISTRY = LogRegistry("log", 4, ["wide"])


@given(st.integers(1, 40), st.integers(1, 40))
def test_every_partition_is_placed_once_and_evenly(partitions, shards):
    groups = place(partitions, min(shards, partitions))
    assert sorted(partition for group in groups for partition in group) == list(range(partitions))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert all(groups)


def test_a_new_owner_takes_its_partitions_and_leaves_the_others():
    before = Topology(REGISTRY, [Owner("a", 3), Owner("b", 7), None, Owner("a", 3)])
    after = before.with_owner([0, 3], "c", 4)
    assert after.owners == [Owner("c", 4), Owner("b", 7), None, Owner("c", 4)]
    assert before.owners[0] == Owner("a", 3)


def test_a_partition_without_an_owner_has_had_no_epoch():
    topology = Topology(REGISTRY, [None, Owner("b", 7), None, None])
    assert [topology.epoch(partition) for partition in range(4)] == [0, 7, 0, 0]


def test_it_is_the_same_after_the_store():
    topology = Topology(REGISTRY, [Owner("a", 3), None, None, Owner("b", 1)])
    assert decode_topology(encode(topology)) == topology
    assert decode_registry(encode(REGISTRY)) == REGISTRY


def test_a_namespace_stays_in_one_partition_unless_it_is_spread():
    rule = REGISTRY.partitioning()
    ids = [f"/{number}" for number in range(50)]
    assert len({rule.of_entity(f"home{name}") for name in ids}) == 1
    assert {rule.of_entity(f"wide{name}") for name in ids} == {0, 1, 2, 3}
    assert rule.of_namespace("home") == (rule.of_entity("home/1"),)
    assert rule.of_namespace("wide") == (0, 1, 2, 3)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"registry":1,"owners":[]}'])
def test_what_is_no_topology_is_not_read_as_one(text):
    with pytest.raises(ValueError, match=r".+"):
        decode_topology(text)


def test_where_the_past_of_earlier_owners_ends_is_told_in_the_log_as_it_is():
    origin = origin_of(2)
    registry = LogRegistry(
        "next", 8, generation=2, pasts={"known": {5: origin + 7}, "": dict.fromkeys(range(8), 9)}
    )
    assert registry.past_of("known", {}) == {}  # it never had another owner
    assert registry.past_of("known", {1: 40}) == {5: origin + 7}
    assert registry.past_of("ended just then", {1: 40}) == dict.fromkeys(range(8), 9)
    assert registry.past_of("known", {1: 40, 3: origin + 50}) == {3: origin + 50}  # noted in this one
    assert registry.past_of("empty", {3: origin - 1}) == {3: origin - 1}
    assert REGISTRY.past_of("first", {0: 4}) == {0: 4}
    assert decode_registry(encode(registry)) == registry
