"""The histogram: each value counts once, at the lowest bound that it does not exceed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_actors.metering.instruments import COUNTS, SECONDS, Histogram


def test_a_value_on_a_bound_belongs_to_it_and_one_beyond_all_to_the_last():
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == 105.6


@given(st.lists(st.floats(0, 1e6)))
def test_nothing_is_lost_and_every_count_is_what_prometheus_calls_le(values):
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    reached = [sum(histogram.counts[: place + 1]) for place in range(len(histogram.counts))]
    assert reached[:-1] == [sum(value <= bound for value in values) for bound in SECONDS]
    assert reached[-1] == len(values)


def test_bounds_rise():
    for bounds in (SECONDS, COUNTS):
        assert list(bounds) == sorted(set(bounds))
