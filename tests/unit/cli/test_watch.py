"""`flux watch`: lines and tables from a scripted WebSocket."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from flux_actors.cli.main import app
from flux_actors.cli.watch import World
from tests.unit.cli.commands import assert_refused, started
from tests.unit.client.contract_socket import contract_socket, say

ENTITY = {"id": "a/b", "properties": {"n": 1}, "lastUpdated": "t"}
STATE = {"type": "state", "entity": ENTITY, "position": "0.1.0"}
DELTA = {"type": "delta", "entity_id": "a/b", "properties": {"n": 2}, "position": "0.2.0", "timestamp": "u"}
UPDATE = {"type": "state_update", "entity_id": "a/b", "property": "n", "value": 2, "timestamp": "u"}
METRICS = {"type": "metrics_update", "timestamp": "t", "events": {"total": 9, "rate_per_second": 4.5}}
GONE = {"type": "entity_deleted", "entity_id": "a/b", "timestamp": "v"}


def _tell(connection: ServerConnection) -> None:
    say(connection, STATE, METRICS, [DELTA, GONE])


@pytest.mark.parametrize(
    ("options", "lines"),
    [(["-o", "json"], [STATE, UPDATE, GONE]), (["--metrics"], [STATE, METRICS, UPDATE, GONE])],
)
def test_watch_prints_a_line_per_message(options: list[str], lines: list[object]) -> None:
    with contract_socket([_tell]) as flux:
        result = CliRunner().invoke(app, ["watch", "*", "--limit", "3", "--url", flux.url, *options])
    assert (result.exit_code, result.stderr) == (0, "")
    assert [json.loads(line) for line in result.stdout.splitlines()] == lines
    assert flux.subscriptions[0]["entity_id"] == "*"


def test_watch_has_the_options_of_a_subscription() -> None:
    arguments = ["--where", "n > 1", "--fields", "n,m", "--from", "0.1.0", "--format", "delta"]
    with contract_socket([_tell]) as flux:
        result = CliRunner().invoke(app, ["watch", "a/*", "--limit", "2", "--url", flux.url, *arguments])
    assert [json.loads(line) for line in result.stdout.splitlines()] == [STATE, DELTA]
    options = {"where": "n > 1", "fields": ["n", "m"], "from": "0.1.0", "format": "delta", "live": True}
    subscription = {"type": "subscribe", "id": "watch-0", "entity_id": "a/*"}
    assert flux.subscriptions == [subscription | options]


@pytest.mark.parametrize(
    ("options", "initial"),
    [
        ([], True),
        (["--no-initial"], None),
        (["--from", "0.1.0"], None),
        (["--from", "0.1.0", "--initial"], True),
    ],
)
def test_watch_begins_with_the_state_unless_told_otherwise(options: list[str], initial: bool | None) -> None:
    with contract_socket([_tell]) as flux:
        CliRunner().invoke(app, ["watch", "--limit", "1", "--url", flux.url, *options])
    assert flux.subscriptions[0].get("initial") is initial


def test_watch_tells_of_a_break_on_standard_error() -> None:
    with contract_socket([lambda connection: say(connection, STATE), _tell]) as flux:
        result = CliRunner().invoke(
            app, ["watch", "--limit", "2", "--url", flux.url], env={"FLUX_TOKEN": "one"}
        )
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()] == ["state", "state"]
    assert "the server closed the connection; trying again in 0." in result.stderr
    assert [subscription["entity_id"] for subscription in flux.subscriptions] == ["*", "*"]
    assert [headers["authorization"] for headers in flux.headers] == ["Bearer one"] * 2


def test_watch_as_table_ends_with_the_world_as_it_is() -> None:
    with contract_socket([_tell]) as flux:
        result = CliRunner().invoke(app, ["watch", "-o", "table", "--limit", "2", "--url", flux.url])
    assert result.exit_code == 0
    assert "n=2" in result.stdout
    assert "entities: 1 – events/s: 4 – connected" in result.stdout


def test_watch_of_a_refused_pattern_fails() -> None:
    with contract_socket([lambda connection: None], refusal="no such pattern") as flux:
        assert_refused(CliRunner().invoke(app, ["watch", "?", "--url", flux.url]), "no such pattern")


def drawn(world: World, rows: int = 10) -> str:
    text = StringIO()
    Console(width=100, file=text).print(world.draw(rows))
    return text.getvalue()


def test_world_follows_messages() -> None:
    world = World()
    world.apply({"type": "connected"})
    world.apply({"type": "state", "entity": {"id": "a/b", "properties": {"n": 1, "m": 0}}})
    world.apply({"type": "state_update", "entity_id": "a/c", "property": "on", "value": False})
    world.apply(
        {
            "type": "delta",
            "entity_id": "a/b",
            "properties": {"n": 2},
            "timestamp": "2030-01-31T08:09:10.123456",
        }
    )
    text = drawn(world)
    assert "m=0  n=2" in text
    assert "08:09:10.123 " in text + " "
    assert "on=false" in text
    world.apply({"type": "left", "entity_id": "a/b"})
    world.apply({"type": "entity_deleted", "entity_id": "a/never"})
    world.apply({"type": "news of a later version"})
    assert "a/b" not in drawn(world)
    world.apply({"type": "disconnected", "error": "gone", "retry_in_s": 1})
    assert "gone; trying again" in drawn(world)
    world.apply({"type": "resumed"})
    assert "entities: 1" in drawn(world)
    world.apply({"type": "resync", "entity_id": "x/*"})
    assert "entities: 1" in drawn(world)
    world.apply({"type": "resync", "entity_id": "a/*"})
    assert "entities: 0" in drawn(world)
    world.apply({"type": "delta", "entity_id": "a/b", "properties": {}, "timestamp": "t"})
    world.apply({"type": "connected"})
    assert "entities: 0" in drawn(world)


def test_world_too_large_for_the_screen_shows_what_changed_last() -> None:
    world = World()
    for name in "bcad":
        world.apply({"type": "delta", "entity_id": f"x/{name}", "properties": {}, "timestamp": "t"})
    world.apply({"type": "delta", "entity_id": "x/b", "properties": {}, "timestamp": "t"})
    text = drawn(world, rows=2)
    assert text.index("x/b") < text.index("x/d")
    assert "x/a" not in text
    assert "entities: 4, of which 2 changed last" in text


def test_watch_ends_quietly_on_ctrl_c() -> None:
    def stay(connection: ServerConnection) -> None:
        say(connection, DELTA)
        with suppress(ConnectionClosed):
            connection.recv(timeout=30)

    with contract_socket([stay]) as flux, started("watch", "-o", "json", FLUX_URL=flux.url) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == UPDATE
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
