"""What `flux chaos` says, and in which order it plays."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.cli.main import app
from flux_cluster.chaos import command
from flux_cluster.chaos.playing import Outcome

HELD = Outcome("shard-kill", "shard-kill", 7, 20.0, 1234, 3, ("shard-kill: pid 1",), 0.51, 2.25, 0.1, 99, ())


def test_a_scenario_that_held_is_one_line():
    (line,) = command.report(HELD)
    assert line == (
        "shard-kill seed 7: 1234 events acked, 1 faults injected, "
        "longest outage 0.5 s of publishes and 2.2 s of lists, at rest 0.1 s after; all checks hold"
    )


def test_one_that_did_not_says_why_and_how_to_see_it_again():
    failed = Outcome(
        **{name: getattr(HELD, name) for name in HELD.__struct_fields__} | {"faults": ("a", "b")}
    )
    first, *rest = command.report(failed)
    assert first.endswith("; 2 checks FAILED")
    assert rest == ["  a", "  b", "  again: flux chaos shard-kill --seed 7"]


def test_without_a_time_each_is_played_once():
    assert list(command.rounds(["a", "b"], 5, None)) == [("a", 5), ("b", 5)]


def test_with_a_time_they_are_played_again_with_the_next_seed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    played = command.rounds(["a", "b"], 5, 2.0)
    assert list(islice(played, 5)) == [("a", 5), ("b", 5), ("a", 6), ("b", 6), ("a", 7)]
    now[0] += 121
    assert list(played) == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--list"], 0, "shard-kill "),
        (["--help"], 0, "flux chaos node-kill --seed 4711"),
        (["nothing"], 1, "there is no scenario nothing; there are "),
        (["--minutes", "0"], 2, "--minutes"),
    ],
)
def test_the_command_teaches(arguments, code, told):
    done = CliRunner().invoke(app, ["chaos", *arguments])
    assert done.exit_code == code
    assert told in done.output


class World:
    """One whose user asks for an end while it starts, and again while it is cleared away."""

    ends_with: signal.Signals
    done: list[str]

    def __init__(self, _: Any) -> None:
        World.done = []

    async def start(self) -> None:
        os.kill(os.getpid(), self.ends_with)
        await asyncio.sleep(0.1)
        self.done.append("started")

    async def stop(self) -> None:
        os.kill(os.getpid(), self.ends_with)
        await asyncio.sleep(0.01)
        self.done.append("cleared away")


@pytest.fixture
def interrupted(monkeypatch) -> Iterator[Any]:
    """Run the command on nothing, and end it by a signal; return its exit code and what it said aside."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(command, "World", World)
    monkeypatch.setattr(command, "chosen", lambda _: [])
    monkeypatch.setattr(command, "set_up_logs", lambda _: None)
    monkeypatch.setattr(command.os, "umask", lambda _: 0)

    def run(number: signal.Signals, before: Any = lambda *_: None) -> tuple[int, list[str]]:
        World.ends_with = number
        signal.signal(number, before)
        said: list[str] = []
        return command.run(command.Wanted(), said.append, said.append), said

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_asks_twice_for_an_end_does_not_keep_it_from_clearing_away(interrupted, number):
    assert interrupted(number) == (130, ["ended before all was played; nothing of it is left"])
    assert World.done == ["cleared away"]


def test_under_nohup_it_outlives_the_terminal(interrupted):
    assert interrupted(signal.SIGHUP, signal.SIG_IGN) == (0, [])
    assert World.done == ["started", "cleared away"]
