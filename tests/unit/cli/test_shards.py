from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.cli import shards as commands
from flux_actors.cli.main import app
from flux_actors.errors import Refused
from flux_actors.native import shards
from flux_actors.native.shards import Moving, ShardRow, Shards

ROWS = [
    ShardRow("flux-shard-0-e1", "0a" * 20, [0, 2], 7, 90),
    ShardRow("flux-shard-1-e2", "0b" * 20, [], 0, 0),
]
DONE = Shards(ROWS, 2, None, done=True)
MOVES = Shards(ROWS, 2, Moving(2, "flux-shard-0-e1", "flux-shard-1-e2", 1), done=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []
    answers = [MOVES, MOVES, DONE]

    def look() -> Shards:
        asked.append("look")
        return answers.pop(0) if len(answers) > 1 else DONE

    monkeypatch.setattr(commands, "join_flux", lambda data: None)
    monkeypatch.setattr(commands, "_LOOK_S", 0.0)
    monkeypatch.setattr(shards, "look", look)
    monkeypatch.setattr(shards, "scale", asked.append)
    return asked


def flux(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["shards", *arguments])


def test_alone_it_shows_them_and_that_partitions_move(asked: list[Any]) -> None:
    done = flux()
    assert (done.exit_code, asked) == (0, ["look"])
    assert "flux-shard-0-e1" in done.stdout
    assert "0, 2" in done.stdout
    assert "0a0a0a0a" in done.stdout
    assert "none" in done.stdout
    assert "until there are 2 shards" in done.stdout


def test_a_number_is_asked_for_and_watched_until_it_is_so(asked: list[Any]) -> None:
    done = flux("2")
    assert asked == [2, "look", "look", "look", "look"]
    assert done.stdout.count("partition 2 moves from flux-shard-0-e1 to flux-shard-1-e2; 1 to move") == 1
    assert "until there are" not in done.stdout


def test_json_has_every_field_and_nothing_else(asked: list[Any]) -> None:
    found = json.loads(flux("2", "-o", "json").stdout)
    assert found[0] == {
        "shard": "flux-shard-0-e1",
        "node": "0a" * 20,
        "partitions": [0, 2],
        "entities": 7,
        "events": 90,
    }


def test_a_number_that_cannot_be_is_told(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise Refused(f"this log has 4 partitions, so 1 to 4 shards, not {number}")

    monkeypatch.setattr(shards, "scale", refuse)
    done = flux("9")
    assert done.exit_code == 1
    assert "1 to 4 shards, not 9" in done.stderr
