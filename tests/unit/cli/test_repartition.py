"""What `flux repartition` asks for, and what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.cli.main import app
from flux_actors.errors import Unavailable
from flux_actors.router.topology import LogRegistry
from flux_cluster import repartitioning
from flux_cluster.repartitioning import Repartitioned

DONE = Repartitioned(
    LogRegistry("old", 4), LogRegistry("new", 8, ["hot"], 2), 1_000, 300, 0, 2.5, 0.0456, removed=4
)


def flux(*arguments: str) -> Any:
    return CliRunner(env={"FLUX_DATA": None}).invoke(app, ["repartition", *arguments])


@pytest.fixture(autouse=True)
def _logs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command writes to ends with it; other tests log on."""
    monkeypatch.setattr("flux_actors.logs.set_up_logs", lambda _: None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def repartition(
        settings: Any, partitions: Any, spread: Any, *, keep_old: bool, say: Any
    ) -> Repartitioned:
        say("switching")
        asked.append((str(settings.data), settings.nats_url, partitions, spread, keep_old))
        return DONE._replace(removed=0 if keep_old else 4, set_aside=3 if keep_old else 0)

    monkeypatch.setattr(repartitioning, "repartition", repartition)
    monkeypatch.setattr(repartitioning, "forget_earlier", lambda settings: 7)
    return asked


def test_it_says_what_has_become_of_the_log(asked):
    done = flux("--partitions", "8", "--spread", "hot, home,", "--data", "/srv/flux")
    assert done.exit_code == 0
    assert asked == [("/srv/flux", None, 8, ["hot", "home"], False)]
    assert "4 partitions have become 8, hot spread: 1000 events copied in 2.5 s" in done.stdout
    assert "closed for 46 ms" in done.stdout
    assert "switching" in done.stderr
    assert "kept" not in done.stdout


def test_what_is_left_alone_stays_as_it_is(asked):
    flux("--partitions", "8", "--nats-url", "nats://log:4222")
    flux("--spread", "")
    assert [row[1:4] for row in asked] == [("nats://log:4222", 8, None), (None, None, [])]


def test_what_is_kept_or_left_behind_is_told(asked):
    done = flux("--partitions", "8", "--keep-old")
    assert "3 events that nobody can read were left behind" in done.stdout
    assert "--forget-old" in done.stdout


def test_programs_get_json(asked):
    told = json.loads(flux("--partitions", "8", "-o", "json").stdout)
    assert (told["partitions"], told["spread"], told["closed_s"], told["removed"]) == (
        [4, 8],
        ["hot"],
        0.046,
        4,
    )
    assert json.loads(flux("--forget-old", "-o", "json").stdout) == {"removed": 7}


def test_old_logs_are_forgotten(asked):
    assert "removed 7 partitions" in flux("--forget-old").stdout
    assert asked == []


def test_one_must_say_what_to_do(asked):
    done = flux()
    assert done.exit_code == 1
    assert "--partitions, --spread, or --forget-old" in done.stderr


def test_what_cannot_be_done_is_told_in_a_sentence(monkeypatch):
    def repartition(*_: Any, **__: Any) -> Repartitioned:
        raise Unavailable("the log goes on as it was")

    monkeypatch.setattr(repartitioning, "repartition", repartition)
    done = flux("--partitions", "8")
    assert (done.exit_code, done.stderr) == (1, "flux: the log goes on as it was\n")
