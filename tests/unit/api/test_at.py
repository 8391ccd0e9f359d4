"""Moments: times and positions as clients name them."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.errors import Refused
from flux_actors.past.target import ThroughPosition, ThroughTime
from flux_api.at import read_moment


@pytest.mark.parametrize(
    ("text", "clock_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01t01:00:00.000001+01:00", 1),
        ("1970-01-01T01:00:00 01:00", 0),
    ],
)
def test_a_time_means_the_same_in_every_partition(text, clock_us):
    moment = read_moment(text, 4)
    assert [moment.of(partition) for partition in range(4)] == [ThroughTime(clock_us)] * 4
    ahead_us = int(limits.clocks_differ_s * 1_000_000)  # of this door's clock, the log's may be
    assert moment.is_to_come(clock_us - ahead_us - 1)
    assert not moment.is_to_come(clock_us - ahead_us)


@pytest.mark.parametrize("text", ["1.7.3", '"1.7.3"', "1.7.3~0.2.0", "1.7.3~1.6.9"])
def test_a_position_means_its_own_partition(text):
    moment = read_moment(text, 2)
    assert moment.of(1) == ThroughPosition(pack(7, 3))
    assert not moment.is_to_come(0)


def test_a_position_of_others_says_nothing():
    with pytest.raises(Refused, match="another partition"):
        read_moment("1.7.3", 2).of(0)


@pytest.mark.parametrize("text", ["", " ", "x", "now", "2026-01-31", "2.1.0", "1.7", "T", "0.1.0T", "1" * 99])
def test_any_other_text_is_refused(text):
    with pytest.raises(Refused, match=r"^at must be an RFC 3339 time") as refused:
        read_moment(text, 2)
    assert refused.value.status == 400
    assert len(refused.value.message) < 250
