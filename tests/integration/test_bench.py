"""The benchmark runs, verifies what it measures, and a restart keeps within its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from flux_bench.registry import ALL

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def run(*command: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["commit", "pull"])
def test_a_small_run_of_a_table_about_the_log_prints_it(name):
    assert "× one by one" in run(f"flux_bench.{name}", "--quick")


def test_a_small_run_of_what_carrying_properties_costs_prints_it():
    assert "as the client's bytes" in run("flux_bench.carrying", "--quick")


SOME: Final = "post-1,get-one,history,publish-seen,behaviour-messages,ask,reminders"


@pytest.mark.parametrize(
    "names",
    [SOME, pytest.param(",".join(case.name for case in ALL), marks=pytest.mark.long)],
    ids=["some", "all"],
)
def test_every_case_prints_a_figure_that_was_verified(tmp_path, names):
    file = tmp_path / "run.json"
    here = set(names.split(",")) - {"restart"}  # which the next test runs, in full
    printed = run("bench", "--quick", "--json", str(file), "--only", ",".join(sorted(here)))
    lines = json.loads(file.read_text())["lines"]
    assert {line["case"] for line in lines} == here
    for line in lines:
        if line["case"] == "scaling" and (os.cpu_count() or 1) < 4:
            assert line["reason"] == "needs 4 cores"
        elif line["verdict"] != "not here":  # the shard's own figure of a pause that did not happen
            grows = "growth" in line["row"]["title"]  # a door may pass a small list on without growing at all
            assert line["value"] >= 0 if grows else line["value"] > 0, line
            assert line["row"]["title"] in printed


@pytest.mark.long
def test_a_small_run_of_what_more_processes_carry_verifies_every_point_and_fills_a_document(tmp_path):
    file, text = tmp_path / "scale.json", tmp_path / "scaling.md"
    text.write_text((ROOT / "docs" / "scaling.md").read_text())
    names = ("--scale", "singles,batches,reads,watchers", "--quick")
    printed = run("bench", *names, "--json", str(file), "--markdown", str(text))
    found = json.loads(file.read_text())["scale"]
    assert found["reasons"] == []
    assert [(point["shards"], point["doors"]) for point in found["loads"]] == [(1, 1)] * 4 + [(1, 2)] * 4
    for point in found["loads"]:
        assert point["cpu_us"]["door"] > 0
        pinned = [part for core in point["cores"] for part in core]
        assert (pinned.count("door"), pinned.count("shard")) == (point["doors"], point["shards"])
    for words in ("at its end first", "doors' cores"):
        assert words in printed
        assert words in text.read_text()


@pytest.mark.long
def test_a_small_run_of_recoveries_and_moves_verifies_them(tmp_path):
    file = tmp_path / "scale.json"
    printed = run("bench", "--scale", "entities,tail,moving", "--quick", "--json", str(file))
    found = json.loads(file.read_text())["scale"]
    assert found["reasons"] == []
    assert [point["entities"] for point in found["entities"]] == [2_000]
    assert [point["tail"] for point in found["tails"]] == [5_000]
    assert len(found["moves"][0]["moves"]) >= 2
    assert "between owners" in printed


@pytest.mark.long
def test_a_restart_with_200_000_entities_keeps_them_all_and_its_bounds():
    printed = run("bench", "--only", "restart", "--times", "1", "--strict")
    assert "200,000 entities" in printed
    assert printed.count("reached") == 2
