"""Samples and how they travel."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors import limits
from flux_actors.metering.instruments import Histogram
from flux_actors.metering.samples import Kind, Metric, Report, Sample, decode_report, encode_report

COUNTER = Metric("c_total", Kind.COUNTER, "text", ("a",))
HISTOGRAM = Metric("h_seconds", Kind.HISTOGRAM, "text", (), (1.0,))


def test_a_report_comes_back_as_it_was():
    seen = Histogram((1.0,))
    seen.observe(3.0)
    samples = [COUNTER.of(True, "x"), HISTOGRAM.seen_by(seen)]
    (data,) = encode_report("door-1", "door", samples, 7)
    told = [Sample("c_total", ["x"], 1.0), Sample("h_seconds", [], 3.0, [0, 1])]
    assert decode_report(data) == Report("door-1", "door", told, 7)


def test_a_long_report_goes_in_parts_that_all_say_how_many_there_are(monkeypatch):
    monkeypatch.setattr(limits, "report_samples_max", 2)
    parts = [decode_report(data) for data in encode_report("p", "r", [COUNTER.of(n, "x") for n in range(5)])]
    assert [part.parts for part in parts] == [3, 3, 3]
    assert [sample.value for part in parts for sample in part.samples] == [0, 1, 2, 3, 4]


def test_who_has_nothing_to_tell_lives_all_the_same():
    (data,) = encode_report("p", "r", [])
    assert decode_report(data).process == "p"


def test_what_is_no_report_is_told():
    with pytest.raises(msgspec.DecodeError):
        decode_report(b"\xc1")
