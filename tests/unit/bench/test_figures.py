"""From samples to a line of the table: percentiles, medians, verdicts, and two runs side by side."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flux_actors.errors import Refused
from flux_bench import comparison, report
from flux_bench.latencies import latencies_of, percentile
from flux_bench.machine import this_machine
from flux_bench.outcome import Line, Measured, Row, Run, Series, lines_of, without_figures
from flux_bench.targets import Baseline, Verdict, at_least, at_most, times

RATE = Row("rate", "POST one event", "events/s", times(0.5, Baseline.B1))
TIME = Row("p50", "publish → seen", "ms", at_most(3, "ms"))


def run_of(*lines: Line, quick: bool = False) -> Run:
    return Run("0.1.0", "2030-01-31T08:00:00+00:00", "here", quick, 3, this_machine(), list(lines))


def measured(rate: float, baseline: float = 100.0) -> list[Line]:
    return lines_of("post", [RATE], [Measured({"rate": rate})], [baseline])


def printed(run: Run) -> str:
    console = Console(file=io.StringIO(), width=250)
    report.show(run, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_smallest_sample_that_enough_samples_do_not_exceed(samples, fraction):
    ordered = sorted(samples)
    found = percentile(ordered, fraction)
    assert found in ordered
    assert sum(sample <= found for sample in ordered) >= fraction * len(ordered) * (1 - 1e-9)
    assert sum(sample < found for sample in ordered) < fraction * len(ordered) * (1 + 1e-9)


def test_latencies_are_in_milliseconds_and_none_of_none():
    found = latencies_of(n / 1000 for n in range(1000, 0, -1))
    assert found is not None
    values = (found.p50_ms, found.p90_ms, found.p99_ms, found.p999_ms, found.max_ms)
    assert values == (500, 900, 990, 999, 1000)
    assert found.samples == 1000
    assert latencies_of([]) is None


@pytest.mark.parametrize(
    ("target", "value", "baseline", "verdict"),
    [
        (times(0.5, Baseline.B1), 50, 100, Verdict.REACHED),
        (times(0.5, Baseline.B1), 49.9, 100, Verdict.MISSED),
        (times(0.5, Baseline.B1), 50, None, Verdict.FAILED),
        (at_least(10, "x"), 10, None, Verdict.REACHED),
        (at_least(10, "x"), 9.9, None, Verdict.MISSED),
        (at_most(10, "x"), 10, None, Verdict.REACHED),
        (at_most(10, "x"), 10.1, None, Verdict.MISSED),
    ],
)
def test_a_verdict_goes_by_bound_and_baseline(target, value, baseline, verdict):
    assert target.verdict(value, baseline) is verdict


def test_a_line_is_the_median_of_values_and_of_baselines():
    found = [Measured({"rate": rate}) for rate in (10.0, 90.0, 60.0)]
    (line,) = lines_of("post", [RATE], found, [100.0, 300.0, 200.0])
    assert (line.value, line.baseline_value, line.ratio) == (60, 200, 0.3)
    assert line.verdict is Verdict.MISSED
    assert line.values == [10, 90, 60]


def test_a_row_without_a_value_has_no_figure():
    (line,) = lines_of("post", [TIME], [Measured({"rate": 1.0})], [None])
    assert (line.value, line.verdict) == (None, Verdict.NOT_HERE)


def test_the_table_shows_figures_and_in_their_place_the_reason_why_there_are_none():
    failed = without_figures("seen", [TIME], Verdict.FAILED, "3 acknowledged events are missing")
    run = run_of(*measured(45), *failed)
    for text in (printed(run), report.markdown(run)):
        assert "45 events/s" in text
        assert "B1 100" in text
        assert "0.45" in text
        assert "≥ 0.5 × B1" in text
        assert "3 acknowledged events are missing" in text
        assert "failed" in text
        assert "B1: GET/s of an empty raw-ASGI app" in text


def test_a_quick_run_says_that_it_means_nothing():
    assert "figures mean nothing" in printed(run_of(quick=True))
    assert "figures mean nothing" not in printed(run_of())


def test_growth_is_shown_as_far_as_it_went():
    run = msgspec.structs.replace(
        run_of(), growth=[Series("b", "Batches", "events", "rate", [(5, 70)], "lost")]
    )
    assert "Batches lost" in printed(run)


def test_two_runs_compare_ratios_where_there_is_a_baseline():
    slow_machine, fast_machine = run_of(*measured(50, 100)), run_of(*measured(120, 200))
    (change,) = comparison.changes_of(slow_machine, fast_machine)
    assert change.factor == pytest.approx(1.2)
    assert change.better is True


def test_less_is_better_where_the_target_is_a_bound_from_above():
    old, new = (run_of(*lines_of("seen", [TIME], [Measured({"p50": ms})], [])) for ms in (2.0, 3.0))
    (change,) = comparison.changes_of(old, new)
    assert change.better is False
    assert comparison.changes_of(old, old)[0].better is None


def test_what_only_one_run_has_is_shown_and_not_compared():
    failed = run_of(*without_figures("post", [RATE], Verdict.FAILED, "lost"))
    other = run_of(*lines_of("seen", [TIME], [Measured({"p50": 2.0})], []))
    changes = comparison.changes_of(run_of(*measured(50)), failed)
    assert [(change.old, change.new, change.factor) for change in changes] == [("50 events/s", "–", None)]
    changes = comparison.changes_of(failed, other)
    assert [(change.case, change.old, change.new) for change in changes] == [
        ("seen", "–", "2 ms"),
        ("post", "–", "–"),
    ]


def test_a_saved_run_reads_back(tmp_path: Path):
    run = run_of(*measured(45))
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(run))
    assert comparison.load_run(tmp_path / "run.json") == run
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(Refused, match="no saved run"):
        comparison.load_run(tmp_path / "bad.json")
    with pytest.raises(Refused, match="cannot be read"):
        comparison.load_run(tmp_path / "none.json")
