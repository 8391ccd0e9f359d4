"""Growth series on a small server: each point is verified, and a series ends where one is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flux_actors.errors import Corrupt, Refused
from flux_bench.growth import ALL, by_entities, by_log_length, chosen, measure
from flux_bench.lab import Lab

LabOn = Callable[..., Lab]


@pytest.mark.parametrize("growing", ALL, ids=lambda growing: growing.key)
def test_a_series_has_a_point_for_every_size(lab_on: LabOn, growing):
    series = measure(growing, growing.quick, lab_on())
    assert series.reason == ""
    assert [x for x, _ in series.points] == list(growing.quick)
    assert all(y > 0 for _, y in series.points)


def test_a_series_ends_with_the_reason_where_a_point_is_not_verified(lab_on: LabOn):
    (batches,) = chosen("batch")
    series = measure(batches, batches.quick, lab_on("twice"))
    assert series.points == []
    assert "more were applied" in series.reason


@pytest.mark.parametrize(
    ("point", "fault", "words"),
    [
        (by_entities, "keeps old values", "was acknowledged last"),
        (by_log_length, "loses history", "the history is not the newest"),
    ],
)
def test_a_liar_gets_no_point(lab_on: LabOn, point, fault: str, words: str):
    with pytest.raises(Corrupt, match=words):
        point(lab_on(fault), 40)


def test_names_of_series_are_checked():
    assert chosen("all") == list(ALL)
    assert [growing.key for growing in chosen("entities, batch")] == ["entities", "batch"]
    with pytest.raises(Refused, match="there is no growth series 'x'"):
        chosen("x")
