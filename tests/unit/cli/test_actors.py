from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.behaviour.roster import ActorRow, ActorState
from flux_actors.cli import actors as commands
from flux_actors.cli.main import app
from flux_actors.errors import Refused
from flux_actors.native import actors

IDLE = ActorRow("home/1", "Lamp", 2, "hosted", "0a" * 20, False, ActorState.IDLE, 0, 0, "", 0, None)
FAILS = ActorRow(
    *("home/2", "Camera", 1, "dedicated", "0b" * 20, True, ActorState.RETRYING),
    *(3, 4, "raised: no [red]light", 2, 1_700_000_000_000_000),
)


class Asked(list[tuple[Any, ...]]):
    """What was asked of the router, and the rows that it has."""

    rows = (IDLE, FAILS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()

    def find(prefix: str, *, limit: int) -> list[ActorRow]:
        asked.append(("find", prefix, limit))
        return list(asked.rows)

    monkeypatch.setattr(commands, "join_flux", lambda data: None)
    monkeypatch.setattr(actors, "find", find)
    for name in ("kill", "restart", "stop", "pin", "unpin"):
        monkeypatch.setattr(actors, name, lambda *given, name=name: asked.append((name, *given)))
    return asked


def flux(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["actors", *arguments])


def test_alone_it_lists_all(asked: Asked) -> None:
    done = flux()
    assert (done.exit_code, asked) == (0, [("find", "", 200)])
    assert "dedicated 0b0b0b0b pinned" in done.stdout
    assert "2, next 2023-11-14T22:13:20" in done.stdout
    assert "home/2: raised: no [red]light" in done.stdout


def test_json_has_every_field(asked: Asked) -> None:
    found = json.loads(flux("list", "home/", "--limit", "5", "-o", "json").stdout)
    assert asked == [("find", "home/", 5)]
    assert found[1] == {
        "entity": "home/2",
        "behaviour": "Camera",
        "version": 1,
        "placement": "dedicated",
        "node": "0b" * 20,
        "pinned": True,
        "state": "retrying",
        "messages": 3,
        "faults": 4,
        "fault": "raised: no [red]light",
        "reminders": 2,
        "next_reminder": "2023-11-14T22:13:20+00:00",
    }
    assert found[0]["next_reminder"] is None


def test_that_there_may_be_more_is_told(asked: Asked) -> None:
    assert "more than these 2" in flux("list", "--limit", "2").stderr


def test_that_there_are_none_is_told(asked: Asked) -> None:
    asked.rows = ()
    assert "no entity beginning with home/ has a behaviour" in flux("list", "home/").stdout


@pytest.mark.parametrize("verb", ["kill", "restart", "stop", "unpin"])
def test_verbs_say_what_they_did(asked: Asked, verb: str) -> None:
    done = flux(verb, "home/1")
    assert (done.exit_code, asked) == (0, [(verb, "home/1")])
    assert done.stdout.startswith("home/1 ")


def test_pin_takes_a_node(asked: Asked) -> None:
    assert flux("pin", "home/2", "0b").exit_code == 0
    assert asked == [("pin", "home/2", "0b")]


def test_what_is_refused_is_one_sentence(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(entity_id: str) -> None:
        raise Refused(f"{entity_id} has no behaviour")

    monkeypatch.setattr(actors, "kill", refuse)
    done = flux("kill", "home/1")
    assert (done.exit_code, done.stderr) == (1, "flux: home/1 has no behaviour\n")


@pytest.mark.parametrize(
    "arguments", [(), ("list",), ("kill",), ("restart",), ("stop",), ("pin",), ("unpin",)]
)
def test_help_teaches_by_examples(arguments: tuple[str, ...]) -> None:
    assert "Examples:" in flux(*arguments, "--help").stdout
