"""The commands of `flux`, run as a user runs them, against a small server that answers by the contract."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flux_actors import __version__
from tests.unit.cli.commands import Run, answer_of, assert_refused
from tests.unit.client.contract_server import ContractServer

COMMANDS = ["publish", "get", "list", "delete", "batch", "history", "health", "watch", "demo", "bench"]
COMMANDS += ["diff", "log"]


# -- publish ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "properties"),
    [
        (["on:=true", "color=warm"], {"on": True, "color": "warm"}),
        (["n:=18446744073709551615", "x:=-0.5"], {"n": 2**64 - 1, "x": -0.5}),
        (["text=a=b:=c", "empty=", "spaced name= x "], {"text": "a=b:=c", "empty": "", "spaced name": " x "}),
        (['nested:={"a": [1, null]}'], {"nested": {"a": [1, None]}}),
        (["--json", '{"on": true, "n": 1}', "n:=2"], {"on": True, "n": 2}),
        (["-", "n:=2"], {"from": "stdin", "n": 2}),
        (["n:=2", "-"], {"from": "stdin", "n": 1}),
    ],
    ids=str,
)
def test_publish_spells_properties(
    run: Run, flux: ContractServer, arguments: list[str], properties: dict[str, Any]
) -> None:
    result = run("publish", "home/a lamp", *arguments, stdin='{"from": "stdin", "n": 1}')
    assert (result.exit_code, result.stdout) == (0, "published home/a lamp, event event-0\n")
    assert flux.last.json == {
        "stream": "cli",
        "source": "flux-cli",
        "payload": {"entity_id": "home/a lamp", "properties": properties},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one property"),
        (["--json", "{}"], "at least one property"),
        (["lamp"], "write NAME=TEXT or NAME:=JSON"),
        (["=x"], "write NAME=TEXT or NAME:=JSON"),
        ([":=1"], "write NAME=TEXT or NAME:=JSON"),
        (["on:=yes"], "the value of on must be JSON"),
        (["on:=NaN"], "the value of on must be JSON"),
        (["on:="], "the value of on must be JSON"),
        (["--json", "[1]"], "--json must be a JSON object"),
        (["-"], "stdin must be JSON"),
        (["on:=" + "[" * 100_000], "the value of on must be JSON"),
        (["name=\udcff"], "cannot be sent as JSON"),
    ],
)
def test_publish_of_nonsense_is_refused_and_not_sent(
    run: Run, flux: ContractServer, arguments: list[str], message: str
) -> None:
    assert_refused(run("publish", "home/lamp", *arguments, stdin="{on"), message)
    assert flux.requests == []


def test_publish_options_and_json_answer(run: Run, flux: ContractServer) -> None:
    options = ["--source", "me", "--stream", "home.light", "--event-id", "e-1", "--wait", "-o", "json"]
    assert answer_of(run("publish", "home/lamp", "on:=true", *options)) == {
        "eventId": "e-1",
        "stream": "home.light",
        "position": "p-7",
        "entity": {
            "id": "home/lamp",
            "properties": {"on": True},
            "lastUpdated": "2030-01-31T08:00:00.000001+00:00",
        },
    }
    assert flux.last.parameters == {"wait": "applied"}
    assert (flux.last.json["source"], flux.last.json["eventId"]) == ("me", "e-1")


# -- get, list, delete, history, health ------------------------------------------------------------


def test_get_shows_one_entity(run: Run, flux: ContractServer) -> None:
    flux.entities = {'home/"a" lamp': {"on": True, "text": "[bold]red[/bold] \x1b[31m"}}
    assert answer_of(run("get", 'home/"a" lamp', "-o", "json"))["properties"]["on"] is True
    table = run("get", 'home/"a" lamp').stdout
    assert 'home/"a" lamp' in table
    assert "[bold]red[/bold] \\x1b[31m" in table
    assert "\x1b" not in table


def test_get_of_several_shows_what_there_is_and_fails_for_the_rest(run: Run, flux: ContractServer) -> None:
    flux.entities = {"home/a": {"n": 1}, "home/b": {"n": 2}}
    assert [entity["id"] for entity in answer_of(run("get", "home/b", "home/a", "-o", "json"))] == [
        "home/b",
        "home/a",
    ]
    result = run("get", "home/a", "home/x")
    assert result.exit_code == 1
    assert "home/a" in result.stdout
    assert result.stderr == "flux: Entity not found: home/x\n"


def test_get_of_a_missing_entity_fails(run: Run) -> None:
    assert_refused(run("get", "home/x"), "Entity not found")


def test_list_as_table_and_json(run: Run, flux: ContractServer) -> None:
    flux.entities = {"home/b": {"n": 1}, "home/a": {"long": "x" * 300}, "work/a": {}}
    listed = answer_of(run("list", "--namespace", "home", "--prefix", "home/", "-o", "json"))
    assert [entity["id"] for entity in listed] == ["home/a", "home/b"]
    assert flux.last.parameters == {"namespace": "home", "prefix": "home/"}
    table = run("list").stdout
    assert table.index("home/a") < table.index("home/b") < table.index("work/a")
    assert table.count("x") == 300
    assert answer_of(run("list", "--prefix", "none", "-o", "json")) == []


def test_list_count_and_limit(run: Run, flux: ContractServer) -> None:
    flux.entities = {f"home/{number:04}": {} for number in range(1001)}
    assert run("list", "--count").stdout == "1001\n"
    assert answer_of(run("list", "--count", "-o", "json")) == {"count": 1001}
    assert len(answer_of(run("list", "-o", "json"))) == 1001
    assert len(answer_of(run("list", "-o", "json", "--limit", "2"))) == 2
    cut = run("list")
    assert "home/0999" in cut.stdout
    assert "home/1000" not in cut.stdout
    assert "only the first 1000" in cut.stderr
    assert "home/1000" in run("list", "--limit", "1001").stdout


@pytest.mark.parametrize(
    ("arguments", "method", "left"),
    [
        (["home/a"], "DELETE", ["home/b", "work/a"]),
        (["home/a", "home/b"], "POST", ["work/a"]),
        (["--prefix", "home/"], "POST", ["work/a"]),
        (["--namespace", "work"], "POST", ["home/a", "home/b"]),
    ],
)
def test_delete(run: Run, flux: ContractServer, arguments: list[str], method: str, left: list[str]) -> None:
    flux.entities = {"home/a": {}, "home/b": {}, "work/a": {}}
    answer_of(run("delete", *arguments, "--wait", "-o", "json"))
    assert (flux.last.method, flux.last.parameters) == (method, {"wait": "applied"})
    assert sorted(flux.entities) == left


@pytest.mark.parametrize(
    "arguments",
    [[], ["home/a", "--prefix", "home/"], ["--prefix", "a", "--namespace", "b"], ["--prefix", ""]],
)
def test_delete_needs_to_know_exactly_what(run: Run, flux: ContractServer, arguments: list[str]) -> None:
    assert_refused(run("delete", *arguments), "say what to delete")
    assert flux.requests == []


def test_delete_that_failed_for_some_fails(run: Run, flux: ContractServer) -> None:
    flux.answer_with(200, b'{"deleted": 1, "failed": 1, "errors": ["home/b: the log is away"]}')
    result = run("delete", "home/a", "home/b")
    assert result.exit_code == 1
    assert "the log is away" in result.stderr


def test_get_and_list_tell_what_was(run: Run, flux: ContractServer) -> None:
    flux.entities = {"home/a": {"n": 2}}
    flux.past = {"then": {"home/a": {"n": 1}, "home/b": {"n": 1}}}
    entity = answer_of(run("get", "home/a", "--at", "then", "--fields", "n,m", "-o", "json"))
    assert entity["properties"] == {"n": 1}
    assert flux.last.parameters == {"at": "then", "fields": "n,m"}
    listed = answer_of(run("list", "--at", "then", "-o", "json"))
    assert [entity["id"] for entity in listed] == ["home/a", "home/b"]
    assert run("list", "--at", "then", "--count").stdout == "2\n"
    assert_refused(run("get", "home/a", "home/b", "--at", "then"), "are for one entity")
    assert_refused(run("get", "home/a", "--at", "never"), "Entity not found")


def test_health(run: Run, flux: ContractServer) -> None:
    assert answer_of(run("health", "-o", "json"))["status"] == "ok"
    assert "ok" in run("health").stdout
    flux.answer_with(503, b'{"status": "recovering"}')
    assert_refused(run("health"), "its status is recovering")


# -- batch -----------------------------------------------------------------------------------------

EVENT = {"stream": "home", "source": "me", "payload": {"entity_id": "home/a", "properties": {"n": 2**64 - 1}}}
BAD = {"stream": "Bad"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"events": [EVENT, EVENT]}),
        json.dumps([EVENT, EVENT], indent=2),
        f"{json.dumps(EVENT)}\n\n{json.dumps(EVENT)}\r\n",
    ],
    ids=["object", "array", "lines"],
)
def test_batch_takes_its_three_forms(run: Run, flux: ContractServer, text: str, tmp_path: Path) -> None:
    file = tmp_path / "the events"
    file.write_text(text)
    assert run("batch", str(file)).stdout == "successful 2, failed 0\n"
    assert answer_of(run("batch", "-", "-o", "json", stdin=text))["successful"] == 2
    assert [request.json["events"] for request in flux.requests] == [[EVENT, EVENT]] * 2


def test_batch_of_one_event_alone(run: Run, flux: ContractServer) -> None:
    assert run("batch", "-", stdin=json.dumps(EVENT)).exit_code == 0
    assert flux.last.json["events"] == [EVENT]


def test_batch_tells_which_events_failed_and_fails(run: Run) -> None:
    text = json.dumps([EVENT, BAD])
    result = run("batch", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (1, "successful 1, failed 1\n")
    assert "event 2 (None): stream must be lower-case" in result.stderr
    machine = run("batch", "-", "-o", "json", stdin=text)
    assert machine.exit_code == 1
    assert [result["error"] for result in json.loads(machine.stdout)["results"]] == [
        None,
        "stream must be lower-case",
    ]


def test_large_batch_goes_in_parts_unless_atomic(run: Run, flux: ContractServer) -> None:
    text = json.dumps([EVENT] * 2001)
    assert run("batch", "-", "--wait", stdin=text).stdout == "successful 2001, failed 0\n"
    assert [len(request.json["events"]) for request in flux.requests] == [1000, 1000, 1]
    assert {request.parameters["wait"] for request in flux.requests} == {"applied"}
    flux.requests.clear()
    assert run("batch", "-", "--atomic", stdin=text).exit_code == 0
    assert [len(request.json["events"]) for request in flux.requests] == [2001]
    assert flux.last.parameters == {"atomic": "true"}


def test_batch_that_breaks_in_the_middle_says_how_far_it_came(run: Run, flux: ContractServer) -> None:
    results = [{"eventId": "e", "stream": "home", "error": None}] * 1000
    first = {"successful": 1000, "failed": 0, "results": results}
    flux.answer_with(200, json.dumps(first).encode())
    flux.answer_with(503, b'{"error": "the log is away"}')
    result = run("batch", "-", stdin=json.dumps([EVENT] * 1500))
    assert result.exit_code == 1
    assert result.stderr == "of 1500 events the first 1000 were sent, then:\nflux: the log is away\n"


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["no such file"], "", "cannot read no such file: No such file"),
        (["/"], "", "cannot read /"),
        (["-"], "{}\nnot json", "line 2 must be JSON"),
        (["-"], "1", "a batch is"),
        (["-"], b"\xff", "line 1 must be JSON"),
    ],
)
def test_batch_that_cannot_be_read_is_refused(
    run: Run, flux: ContractServer, arguments: list[str], text: str | bytes, message: str
) -> None:
    assert_refused(run("batch", *arguments, stdin=text), message)
    assert flux.requests == []


# -- all of them -----------------------------------------------------------------------------------


def test_version(run: Run) -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"flux {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    flux {command}" in result.stdout.replace("  \n", "\n")
    assert "token" not in result.stdout.lower()


@pytest.mark.parametrize(
    "arguments",
    [["get", "a"], ["list"], ["list", "-o", "json"], ["watch"], ["demo"], ["publish", "a", "b=c"]],
)
def test_nobody_listening_is_one_sentence(run: Run, arguments: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert_refused(run(*arguments, FLUX_URL=url), f"cannot reach Flux at {url}; start it with `flux up`")


def test_token_of_the_environment_goes_along(run: Run, flux: ContractServer) -> None:
    run("publish", "home/lamp", "on:=true", FLUX_TOKEN="secret-one")
    assert flux.last.headers["authorization"] == "Bearer secret-one"


def test_no_command_takes_a_token_as_an_argument(run: Run) -> None:
    for command in COMMANDS:
        assert run(command, "--token", "secret").exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from flux_actors.cli import main;"
        "heavy = {'ray', 'nats', 'httpx', 'rich', 'psutil', 'websockets', 'fastapi', 'msgspec', 'pydantic'};"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
