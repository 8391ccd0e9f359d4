"""`flux bench` as a user runs it, against a small server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.cli.main import app
from flux_bench.targets import Verdict
from tests.unit.bench.fake_flux import FakeFlux

Serve = Callable[..., FakeFlux]


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_a_verified_figure_is_printed_and_saved_and_the_server_left_as_it_was(serve: Serve, tmp_path: Path):
    flux, file = serve(), tmp_path / "run.json"
    table = tmp_path / "run.md"
    files = ("--json", str(file), "--markdown", str(table))
    result = bench("--url", flux.url, "--only", "ws-publish", "--quick", *files)
    assert result.exit_code == 0, result.output
    (line,) = json.loads(file.read_text())["lines"]
    assert line["value"] > 0
    assert f"{line['value']:,.0f} events/s" in result.stdout
    assert f"{line['value']:,.0f} events/s" in table.read_text()
    assert flux.entities == {}
    assert flux.configured == [{"rate_limit_enabled": False}, {"rate_limit_enabled": True}]
    compared = bench("--compare", str(file), str(file))
    assert compared.exit_code == 0
    assert "1.00" in compared.stdout
    again = bench("--from", str(file))
    assert f"{line['value']:,.0f} events/s" in again.stdout


def test_a_figure_of_a_liar_is_not_printed_and_the_exit_code_tells(serve: Serve, tmp_path: Path):
    file = tmp_path / "run.json"
    result = bench("--url", serve("twice").url, "--only", "ws-publish", "--quick", "--json", str(file))
    assert result.exit_code == 1
    (line,) = json.loads(file.read_text())["lines"]
    assert line["value"] is None
    assert line["verdict"] == "failed"
    assert "events/s" not in result.stdout.replace("≥ 40,000 events/s", "")
    assert "events more were applied than acknowledged" in result.stdout


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_a_missed_target_fails_only_when_asked(serve: Serve, strict: list[str], code: int, monkeypatch):
    monkeypatch.setattr("flux_bench.targets.Target.verdict", lambda *_: Verdict.MISSED)
    result = bench("--url", serve().url, "--only", "ack-get", "--quick", *strict)
    assert result.exit_code == code, result.output
    assert "missed" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nothing"], "there is no case nothing"),
        (["--growth", "nothing"], "there is no growth series 'nothing'"),
        (["--scale", "nothing"], "there is no scale series 'nothing'"),
        (["--scale", "all", "--url", "http://127.0.0.1:1"], "--scale needs a Flux that the benchmark starts"),
        (["--url", "db:3000"], "must be like http://localhost:3000"),
        (["--profile", "post-1", "--url", "http://127.0.0.1:1"], "leave --url out"),
        (["--compare", "none.json", "none.json"], "none.json cannot be read"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(arguments: list[str], words: str):
    result = bench(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr


def test_a_server_that_keeps_its_rate_limit_or_does_not_answer_is_told_as_failed(serve: Serve):
    guarded = bench("--url", serve("guards its config").url, "--only", "ws-publish", "--quick")
    assert guarded.exit_code == 1
    assert "FLUX_ADMIN_TOKEN" in guarded.stdout
    absent = bench("--url", "http://127.0.0.1:9", "--only", "ws-publish,restart", "--quick")
    assert absent.exit_code == 1
    assert "does not answer" in absent.stdout
    assert "needs a Flux that the benchmark starts itself" in absent.stdout


def test_the_list_names_every_case_with_its_target():
    listed = bench("--list").stdout
    for text in (
        "post-128",
        "≥ 1 × B1",
        "restart",
        "≤ 12 s",
        "scaling",
        "--growth log-length",
        "--scale moving",
    ):
        assert text in listed
