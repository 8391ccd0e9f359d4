"""How long to stay away: doubling within bounds, spread by chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.connectors.backoff import Backoff


def test_it_doubles_up_to_the_most():
    backoff = Backoff(1.0, 60.0, lambda: 0.5)
    assert [backoff.wait_s(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 6.0), (0.5, 8.0), (1.0, 10.0)])
def test_chance_spreads_it_both_ways(chance, wait_s):
    assert Backoff(1.0, 60.0, lambda: chance).wait_s(4) == wait_s


@given(
    failures=st.integers(0, 10**9), chance=st.floats(0, 1), least=st.floats(0.01, 10), more=st.floats(0, 1000)
)
def test_it_stays_within_its_bounds_however_often_something_failed(failures, chance, least, more):
    wait_s = Backoff(least, least + more, lambda: chance).wait_s(failures)
    assert 0.74 * least <= wait_s <= 1.26 * (least + more)
