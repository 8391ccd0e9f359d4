"""The text that Prometheus reads, read back by its own parser."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from flux_actors import limits
from flux_actors.metering import table
from flux_actors.metering.exposition import CONTENT_TYPE, exposition
from flux_actors.metering.instruments import Histogram
from flux_actors.metering.samples import Report, Sample


def read(reports, of_scrape=()):
    text = b"".join(exposition(reports, of_scrape)).decode()
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    return families, samples


def test_counters_and_gauges_bear_the_process_they_are_from():
    requests = table.REQUESTS.of(3, "GET", "/a", "200")
    families, samples = read([Report("d1", "door", [requests]), Report("d2", "door", [table.WATCHERS.of(2)])])
    assert [(family.name, family.type) for family in families] == [
        ("flux_http_requests", "counter"),
        ("flux_watchers", "gauge"),
    ]
    labels = (("method", "GET"), ("process", "d1"), ("route", "/a"), ("status", "200"))
    assert samples == {("flux_http_requests_total", labels): 3, ("flux_watchers", (("process", "d2"),)): 2}


def test_a_metric_of_many_processes_stands_in_one_place():
    families, samples = read([Report(f"d{n}", "door", [table.WATCHERS.of(n)]) for n in range(5)])
    assert len(families) == 1
    assert sorted(samples.values()) == [0, 1, 2, 3, 4]


def test_a_histogram_counts_up_to_each_bound():
    seen = Histogram(table.BLOCK_EVENTS.bounds)
    for value in (1, 2, 5_000):
        seen.observe(value)
    _, samples = read([Report("d", "door", [table.BLOCK_EVENTS.seen_by(seen)])])
    buckets = {dict(labels)["le"]: v for (name, labels), v in samples.items() if name.endswith("_bucket")}
    assert buckets == {
        "1.0": 1,
        "4.0": 2,
        "16.0": 2,
        "64.0": 2,
        "256.0": 2,
        "1024.0": 2,
        "4000.0": 2,
        "+Inf": 3,
    }
    assert samples["flux_block_events_count", (("process", "d"),)] == 3
    assert samples["flux_block_events_sum", (("process", "d"),)] == 5_003


def test_what_the_scrape_tells_is_of_no_process():
    _, samples = read([], [table.SCRAPED.of(2, "door"), table.MISSING.of(1)])
    assert samples == {
        ("flux_scrape_processes", (("role", "door"),)): 2,
        ("flux_scrape_missing_processes", ()): 1,
    }


def test_what_a_newer_process_tells_otherwise_is_left_out():
    odd = [
        Sample("flux_not_yet_known", [], 1.0),
        Sample("flux_watchers", ["more"], 1.0),
        Sample("flux_watchers", [], 1.0, [1]),
        Sample("flux_block_events", [], 1.0, [1, 2]),
        Sample("flux_block_events", [], 1.0),
        Sample("flux_scrape_missing_processes", [], 9.0),
    ]
    assert read([Report("d", "door", odd)]) == ([], {})


def test_a_label_may_hold_anything():
    _, samples = read([Report('a"b\\c\nd', "door", [table.WATCHERS.of(1)])])
    assert samples == {("flux_watchers", (("process", 'a"b\\c\nd'),)): 1}


def test_numbers_of_every_kind_can_be_read():
    values = [0.1, 1e300, float("inf"), float("-inf"), 7.0]
    _, samples = read([Report(f"d{n}", "door", [table.WATCHERS.of(v)]) for n, v in enumerate(values)])
    assert list(samples.values()) == values
    _, samples = read([Report("d", "door", [table.WATCHERS.of(float("nan"))])])
    assert math.isnan(samples["flux_watchers", (("process", "d"),)])


def test_it_comes_in_pieces_and_each_metric_has_one_head(monkeypatch):
    monkeypatch.setattr(limits, "exposition_lines_max", 2)
    seen = Histogram(table.BLOCK_EVENTS.bounds)
    samples = [table.WATCHERS.of(1), table.BLOCK_EVENTS.seen_by(seen)]
    pieces = list(exposition([Report(f"d{n}", "door", samples) for n in range(3)]))
    assert max(piece.count(b"flux_watchers{") for piece in pieces) == 2
    text = b"".join(pieces)
    assert text.count(b"# TYPE flux_watchers gauge") == text.count(b"# TYPE flux_block_events histogram") == 1
    assert text.count(b"flux_block_events_count{") == 3


def test_the_content_type_is_the_one_of_the_text():
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
