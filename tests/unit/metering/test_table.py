"""The table of metrics keeps Prometheus' conventions, and its labels stay bounded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flux_actors.metering.samples import Kind
from flux_actors.metering.table import METRICS

ROOT = Path(__file__).parents[3]
LABELS = {"role", "node", "version", "partition", "connector", "method", "route", "status"}
UNITS = ("_seconds", "_bytes", "_events", "_blocks", "_entities", "_partitions", "_messages", "_watchers")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_name_keeps_the_conventions(metric):
    assert re.fullmatch(r"flux(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|us|milliseconds|kb|mb|percent|count|sum|bucket)(_|$)", metric.name)
    assert metric.text
    assert not metric.text.endswith(".")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_label_holds_nothing_that_clients_choose(metric):
    assert set(metric.labels) <= LABELS


def test_histograms_name_their_unit_and_have_rising_bounds():
    for metric in METRICS.values():
        if metric.kind is Kind.HISTOGRAM:
            assert metric.name.endswith(UNITS), metric.name
            assert list(metric.bounds) == sorted(set(metric.bounds)), metric.name


def test_every_metric_is_told_by_some_process():
    """Each name of the table is used outside of it."""
    table = (ROOT / "flux_actors/metering/table.py").read_text()
    constants = re.findall(r"^([A-Z_]+) = Metric\(", table, re.MULTILINE)
    assert len(constants) == len(METRICS)
    files = [*ROOT.glob("flux_actors/**/*.py"), *ROOT.glob("api/**/*.py"), *ROOT.glob("cluster/**/*.py")]
    code = "\n".join(path.read_text() for path in files if path.name != "table.py")
    assert [name for name in constants if not re.search(rf"table\.{name}\b", code)] == []


def test_the_document_says_of_each_what_it_is():
    told = set(re.findall(r"`(flux_[a-z_]+)`", (ROOT / "docs/observing.md").read_text()))
    assert told == set(METRICS)
