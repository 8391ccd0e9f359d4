"""What `flux chaos` says, and in which order it plays."""

from __future__ import annotations

from itertools import islice

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
