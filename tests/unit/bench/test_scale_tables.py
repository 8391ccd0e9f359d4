"""A run of `--scale` as people see it: on the terminal, in a document, as curves."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from flux_actors.errors import Refused
from flux_bench import report
from flux_bench.comparison import load_run
from flux_bench.machine import this_machine
from flux_bench.outcome import Run
from flux_bench.plots import draw_all
from flux_bench.scale.curves import figures_of
from flux_bench.scale.document import filled, names_in
from flux_bench.scale.outcome import Load, Scale
from flux_bench.scale.tables import predicted_here, rate_text, tables_of
from tests.unit.bench.scale_sample import scale_sample

DOCUMENT = Path(__file__).parents[3] / "docs" / "scaling.md"


def run_of(scale: Scale) -> Run:
    return Run("0.1.0", "2030-01-31T08:00:00+00:00", "here", False, 3, this_machine(), scale=scale)


def printed(scale: Scale) -> str:
    console = Console(file=io.StringIO(), width=300)
    report.show(run_of(scale), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_figure_is_printed_beside_what_the_model_says():
    text = printed(scale_sample())
    one = next(point for point in scale_sample().loads if point.load is Load.SINGLES)
    assert f"{rate_text(one.rate)} events/s" in text
    assert "+0%" in text
    for words in ("20 + 2", "doors' cores", "door + nats-server", "0.30 / 0.40", "240 (10)", "12.0", "3,000"):
        assert words in text, words


def test_what_was_not_measured_has_no_table_and_what_failed_has_its_reason():
    text = printed(Scale(reasons=["moving: 3 acknowledged events are missing"]))
    assert "moving: 3 acknowledged events are missing" in text
    assert tables_of(Scale()) == []
    assert [table.key for table in tables_of(Scale(moves=scale_sample().moves))] == ["moving"]


def test_a_single_size_has_a_figure_and_nothing_to_predict_it_from():
    first = scale_sample().loads[0]
    assert predicted_here(first, [first]) is None
    (row,) = tables_of(Scale([first]))[0].rows
    assert row[-2:] == ["", ""]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1_234, "1,230"), (27_904, "27,900"), (2_879_400, "2.88 M"), (999, "999"), (12.3, "12")],
)
def test_rates_have_three_digits_that_count(rate: float, text: str):
    assert rate_text(rate) == text


def test_a_saved_run_reads_back(tmp_path: Path):
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(run_of(scale_sample())))
    assert load_run(tmp_path / "run.json") == run_of(scale_sample())


def test_the_document_has_a_place_for_every_table_and_no_other():
    places = names_in(DOCUMENT.read_text())
    assert sorted(places) == sorted(report.scale_parts(run_of(scale_sample())))


def test_what_stands_between_marks_is_made_new_and_nothing_else():
    places = [
        f"<!-- measured: {name} -->\n{old}\n<!-- end -->\n"
        for name, old in (("load", "old"), ("tail", "kept"))
    ]
    text = "before\n" + "between\n".join(places)
    found = filled(text, {"load": "| a |\n| \\1 |"})
    assert found == text.replace("old", "\n| a |\n| \\1 |\n")
    assert filled(found, {"load": "| a |\n| \\1 |"}) == found
    with pytest.raises(Refused, match="no place for moving; there are load, tail"):
        filled(text, {"moving": "x"})


def test_each_series_has_its_curves(tmp_path: Path):
    names = ["scale-shards", "scale-doors", "scale-nodes", "recovery-entities", "recovery-tail", "moving"]
    assert [path.stem for path in draw_all(figures_of(scale_sample()), tmp_path)] == names
    assert "watchers" in (tmp_path / "scale-nodes.svg").read_text()
    assert [figure.key for figure in figures_of(Scale(tails=scale_sample().tails))] == ["recovery-tail"]
