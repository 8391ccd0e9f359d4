"""Budgets: a bucket for each namespace, leases of it for doors, never more than the limit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.tenancy.budget import Ask, Budgets, Limit, share_of
from tests.unit.domain.strategies import few

LIMIT = Limit(600)  # ten a second
SHARE = share_of(600, 1)


def give(budgets, wanted, now_s, *, door="door", limit=LIMIT, **ask):
    return budgets.lease(door, {"n": Ask(wanted, **ask)}, limit, now_s).grants["n"]


def drained(now_s=0.0, limit=LIMIT):
    """Return budgets past the time in which doors are believed, with one bucket empty."""
    budgets = Budgets(now_s - 100, "new")
    assert give(budgets, limit.per_minute, now_s, limit=limit).granted == limit.per_minute
    return budgets


def test_a_bucket_begins_full_and_gives_no_more_than_the_limit():
    budgets = Budgets(0, "new")
    assert give(budgets, 601, 0).granted == 600
    assert give(budgets, 1, 0).granted == 0


def test_it_is_refilled_evenly_and_never_holds_more_than_the_limit():
    budgets = drained()
    assert [give(budgets, 100, now_s).granted for now_s in (0.05, 0.1, 0.5, 1.5)] == [0, 1, 4, 10]
    assert give(budgets, 10_000, 1_000).granted == 600


def test_namespaces_have_buckets_of_their_own():
    budgets = Budgets(0, "new")
    lease = budgets.lease("door", {"a": Ask(600), "b": Ask(5)}, LIMIT, 0)
    assert {name: grant.granted for name, grant in lease.grants.items()} == {"a": 600, "b": 5}


@pytest.mark.parametrize("per_minute", [1, 5, 49, 600, 10_000, 10_000_000])
def test_after_the_wait_it_names_there_is_something(per_minute):
    limit = Limit(per_minute)
    budgets = drained(limit=limit)
    wait_s = give(budgets, 1, 0, limit=limit).wait_s
    assert wait_s >= limits.lease_wait_s_min
    assert give(budgets, 1, wait_s, limit=limit).granted == 1


def test_a_small_limit_waits_for_one_event_and_a_large_one_for_a_share():
    assert give(drained(limit=Limit(5)), 1, 0, limit=Limit(5)).wait_s == pytest.approx(12)
    assert give(drained(limit=Limit(60_000)), 1, 0, limit=Limit(60_000)).wait_s == pytest.approx(1.2)


def test_when_all_that_was_wanted_is_there_nobody_waits():
    assert give(Budgets(0, "new"), 600, 0).wait_s == 0


def test_what_is_owed_is_paid_though_the_bucket_is_empty_and_made_good_before_more_is_given():
    budgets = drained()
    grant = give(budgets, 12, 0, owed=12)
    assert (grant.granted, grant.level) == (12, -12)
    assert give(budgets, 1, 1.2).granted == 0
    assert give(budgets, 1, 1.3).granted == 1


def test_what_is_returned_can_be_had_by_another_door():
    budgets = drained()
    give(budgets, 0, 0, returned=7)
    assert give(budgets, 100, 0, door="other").granted == 7
    give(budgets, 0, 0, returned=10_000)
    assert give(budgets, 10_000, 0).granted == 600


def test_doors_that_asked_lately_count():
    budgets = Budgets(0, "new")
    assert [budgets.lease(door, {}, LIMIT, 0).doors for door in ("a", "b", "a", "c")] == [1, 2, 2, 3]
    assert budgets.lease("a", {}, LIMIT, limits.lease_door_s + 0.1).doors == 1


def test_a_new_limit_counts_at_once_and_an_older_one_no_more():
    budgets = Budgets(0, "new")
    assert give(budgets, 100, 0).granted == 100
    more, less = Limit(1_000, 1), Limit(20, 2)
    assert give(budgets, 10_000, 0, limit=more).granted == 900  # what was used stays used
    give(budgets, 0, 0, returned=500, limit=more)
    assert give(budgets, 10_000, 0, limit=less).granted == 20  # a bucket holds no more than its limit
    assert give(budgets, 10_000, 60, limit=more).granted == 20  # of a door that has not heard of it yet


def test_full_buckets_are_forgotten():
    budgets = Budgets(0, "new")
    for number in range(1_000):
        budgets.lease("door", {f"n{number}": Ask(1)}, LIMIT, 0.0)
    assert len(budgets) == 1_000
    give(budgets, 600, 30.0)
    assert len(budgets) == 1


def test_those_that_begin_anew_believe_what_doors_have_heard_before():
    budgets = Budgets(0, "new")
    assert give(budgets, 600, 0, believed=40.0, heard="old").granted == 40
    assert give(budgets, 600, 60, believed=5.0, heard="new").granted == 600


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_whoever_is_heard_first_the_least_that_was_believed_counts_and_all_that_is_owed(order):
    budgets = Budgets(0, "new")
    asks = [Ask(100, 100, 0, 400.0, "old"), Ask(150, 150, 0, 300.0, "old")]
    for door in order:
        grant = budgets.lease(str(door), {"n": asks[door]}, LIMIT, 0).grants["n"]
    assert grant.level == 300 - 250


def test_a_share_is_small_and_none_of_a_small_limit():
    assert (share_of(10_000, 1), share_of(10_000, 4), share_of(49, 1), share_of(60, 2)) == (200, 50, 0, 0)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which door
        st.integers(0, 4_000),  # milliseconds since the step before
        st.integers(0, 200),  # wanted
        st.integers(0, 100),  # per cent of what it holds, returned
    ),
    max_size=60,
)


@given(st.integers(1, 2_000), STEPS)
@few
def test_however_doors_and_times_interleave_no_minute_holds_more_than_the_bucket_and_its_refill(
    per_minute, steps
):
    budgets, limit = Budgets(0, "new"), Limit(per_minute)
    used: list[tuple[float, int]] = []
    holds = [0] * 4
    now_s = 0.0
    for door, wait_ms, wanted, percent in steps:
        now_s += wait_ms / 1_000
        returned = holds[door] * percent // 100
        grant = give(budgets, wanted, now_s, door=str(door), limit=limit, returned=returned)
        holds[door] += grant.granted - returned
        used.append((now_s, grant.granted - returned))
        assert 0 <= grant.granted <= wanted
        assert grant.level + 1e-3 >= 0
    for first in range(len(used)):
        total = 0
        for at_s, events in used[first:]:
            total += events
            # what was returned before the window may be given out in it, so it counts as the bucket's
            assert total <= per_minute + (at_s - used[first][0]) * limit.per_s + 1


@given(st.integers(1, 20_000), st.lists(st.integers(0, 2_000), min_size=1, max_size=60))
@few
def test_one_who_always_wants_more_gets_the_whole_limit(per_minute, waits_ms):
    budgets, limit = Budgets(0, "new"), Limit(per_minute)
    now_s, granted = 0.0, give(budgets, 10**9, 0, limit=limit).granted
    for wait_ms in waits_ms:
        now_s += wait_ms / 1_000
        granted += give(budgets, 10**9, now_s, limit=limit).granted
    assert granted == pytest.approx(per_minute + now_s * limit.per_s, abs=1)
    assert granted <= per_minute + now_s * limit.per_s + 1e-3


def test_waits_grow_shorter_as_the_time_goes():
    budgets = drained()
    waits = [give(budgets, 1, now_s).wait_s for now_s in (0.0, 0.02, 0.04)]
    assert all(before >= after for before, after in pairwise(waits))
