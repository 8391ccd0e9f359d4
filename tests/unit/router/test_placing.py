"""Placing partitions: all of them, evenly, and moving no more than that takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.router.placing import Load, placed, weights

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=40)
NUMBERS = st.integers(1, 9)


@st.composite
def living(draw):
    """Weights, owners of which some may be gone, and shards."""
    weighed = draw(WEIGHTS)
    shards = [f"s{n}" for n in range(draw(NUMBERS))]
    owner = st.sampled_from([*shards, "gone", None])
    return weighed, [draw(owner) for _ in weighed], shards


def loads(weighed, homes, shards):
    return {
        shard: sum(w for w, home in zip(weighed, homes, strict=True) if home == shard) for shard in shards
    }


def moved(before, after):
    return [p for p, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]


@given(living())
def test_every_partition_has_one_of_the_shards(case):
    weighed, owners, shards = case
    homes = placed(weighed, owners, shards)
    assert len(homes) == len(weighed)
    assert set(homes) <= set(shards)


@given(living())
def test_placing_again_moves_nothing(case):
    weighed, owners, shards = case
    homes = placed(weighed, owners, shards)
    assert placed(weighed, homes, shards) == homes


@given(living())
def test_the_loads_are_as_even_as_moves_that_are_worth_it_make_them(case):
    weighed, owners, shards = case
    homes = placed(weighed, owners, shards)
    carried = loads(weighed, homes, shards)
    heaviest = max(carried, key=carried.get)
    gap = carried[heaviest] - min(carried.values())
    lightest_on_it = min((w for w, home in zip(weighed, homes, strict=True) if home == heaviest), default=0)
    assert gap <= max(0.1 * sum(weighed) / len(shards), 1.25 * lightest_on_it) + 1e-6


@given(st.integers(1, 40), NUMBERS)
def test_a_new_shard_is_only_given_to(partitions, number):
    shards = [f"s{n}" for n in range(number)]
    weighed = [1.0] * partitions
    before = placed(weighed, [None] * partitions, shards)
    after = placed(weighed, before, [*shards, "new"])
    assert {after[p] for p in moved(before, after)} <= {"new"}
    assert len(moved(before, after)) <= -(-partitions // (number + 1))


@given(st.integers(1, 40), st.integers(2, 9))
def test_from_a_shard_that_goes_all_is_taken_and_equal_partitions_stay_elsewhere(partitions, number):
    shards = [f"s{n}" for n in range(number)]
    weighed = [1.0] * partitions
    before = placed(weighed, [None] * partitions, shards)
    after = placed(weighed, before, shards[1:])
    assert moved(before, after) == [p for p, home in enumerate(before) if home == "s0"]


@given(st.integers(1, 60), st.integers(1, 9))
def test_equal_partitions_are_dealt_out_one_by_one(partitions, number):
    shards = list(range(number))
    assert placed([1.0] * partitions, [None] * partitions, shards) == [p % number for p in range(partitions)]


def test_what_gains_little_is_not_moved():
    owners = ["a", "a", "a", "b", "b"]
    assert placed([1.0] * 5, owners, ["a", "b"]) == owners
    assert placed([1.0, 1.0, 0.02, 1.0, 0.98], owners, ["a", "b"]) == owners


def test_a_hot_partition_stays_and_the_others_make_room():
    homes = placed([10.0, 1.0, 1.0, 1.0], ["a", "a", "a", "b"], ["a", "b"])
    assert homes == ["a", "b", "b", "b"]


@pytest.mark.parametrize(
    ("loads_", "shares"),
    [
        ([Load(0, 0), Load(0, 0)], [0.1, 0.1]),
        ([Load(30, 0), Load(10, 0)], [0.475, 0.225]),
        ([Load(0, 10), Load(0, 30)], [0.225, 0.475]),
        ([Load(1, 3), Load(1, 1)], [0.725, 0.475]),
    ],
)
def test_a_weight_is_a_partitions_share_of_the_work_and_of_what_is_kept(loads_, shares):
    assert weights(loads_) == pytest.approx(shares)
