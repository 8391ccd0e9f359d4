from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.partitioning import Partitioning
from tests.unit.domain.strategies import few, many

ids = st.text(st.sampled_from("ab/ü"), max_size=6)
partitionings = st.builds(Partitioning, st.integers(1, 64), st.frozensets(st.sampled_from(["a", "ab", "ü"])))


@pytest.mark.parametrize(
    ("entity_id", "partition"),
    [("a/1", 3), ("a/2", 3), ("plain", 0), ("", 0), ("rooms/kitchen", 2), ("ünï/x", 2)],
)
def test_partition_of_an_id_never_changes_for_a_log_that_exists(entity_id: str, partition: int) -> None:
    assert Partitioning(4).of_entity(entity_id) == partition


@given(partitionings, ids)
@many
def test_entity_lives_where_its_namespace_lives(partitioning: Partitioning, entity_id: str) -> None:
    partition = partitioning.of_entity(entity_id)
    assert 0 <= partition < partitioning.partitions
    assert partition in partitioning.of_namespace(namespace_of(entity_id))
    assert partition in partitioning.all()


@given(partitionings, ids, st.integers(0, 6))
@many
def test_every_prefix_of_an_id_leads_to_its_partition(
    partitioning: Partitioning, entity_id: str, length: int
) -> None:
    assert partitioning.of_entity(entity_id) in partitioning.of_prefix(entity_id[:length])


@given(st.integers(1, 64), ids, ids)
@few
def test_namespace_that_is_not_spread_has_one_partition(partitions: int, one: str, other: str) -> None:
    partitioning = Partitioning(partitions, frozenset({"spread"}))
    assert partitioning.of_entity(f"ns/{one}") == partitioning.of_entity(f"ns/{other}")
    assert partitioning.of_namespace("ns") == partitioning.of_prefix(f"ns/{one}")
    assert len(partitioning.of_namespace("ns")) == 1


def test_namespace_that_is_spread_fills_all_partitions_evenly() -> None:
    partitioning = Partitioning(8, frozenset({"big"}))
    counts = Counter(partitioning.of_entity(f"big/{number}") for number in range(4_000))
    assert partitioning.of_namespace("big") == partitioning.all() == tuple(range(8))
    assert set(counts) == set(range(8))
    assert max(counts.values()) < 2 * min(counts.values())


def test_namespaces_fall_on_all_partitions() -> None:
    partitioning = Partitioning(8)
    assert {partitioning.of_entity(f"ns{number}/x") for number in range(200)} == set(range(8))


def test_prefix_without_a_slash_may_be_anywhere() -> None:
    assert Partitioning(4).of_prefix("ns") == Partitioning(4).of_prefix("") == (0, 1, 2, 3)


@given(
    st.lists(
        st.none() | st.sampled_from(["a/1", "a/2", "b/1", "b", "", "/x", "/", "w/1", "w/2", "ab/1", "a/b/c"])
    )
)
def test_many_ids_are_placed_as_each_alone(some):
    for spread in (set(), {"a"}, {""}, {"", "b"}):
        rule = Partitioning(7, frozenset(spread))
        assert rule.of_entities(some) == [rule.of_entity(entity_id or "") for entity_id in some]
