"""scripts/flux.sh against a small server that answers by the contract."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.contract_server import ContractServer

SCRIPT = Path(__file__).parents[3] / "scripts" / "flux.sh"
TOOLS = ["bash", "cat", "curl", "env", "head", "mktemp", "rm", "tr"]  # all that it may need
COMMANDS = [
    "health",
    "publish",
    "get",
    "list",
    "delete",
    "batch-delete",
    "batch",
    "connectors",
    "admin-config",
]
ODD_IDS = [
    'home/"kitchen" lamp',
    "home/100%/a+b&c=d?e#f;g*[1-3]{x,y}",
    "home/Küche/温度",
    "home/a/../b/./c",
    "..",
    "home//double/",
    "home/back\\slash/$HOME/`id`",
    "home/.hidden",
]

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the programs that the script may need, and not jq."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is needed for this test"
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def run(flux: ContractServer, tools: Path, tmp_path: Path) -> Run:
    """Run the script with nothing in its environment but what a test gives it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run_script(*arguments: str, stdin: str = "", **environment: str) -> Done:
        given = {"PATH": str(tools), "FLUX_URL": flux.url, "TMPDIR": str(scratch)} | environment
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            env=given,
        )
        assert not list(scratch.iterdir()), "it leaves no files behind"
        return done

    return run_script


def answer_of(done: Done) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_health(run: Run, flux: ContractServer) -> None:
    assert answer_of(run("health"))["status"] == "ok"
    assert flux.last.target == "/api/health"


def test_publish_sends_the_envelope(run: Run, flux: ContractServer) -> None:
    options = ["--source", 'me "and" you\t', "--stream", "home.light", "--event-id", "e-1"]
    done = run("publish", *options, 'home/the "lamp"\\', '{"on": true, "n": 18446744073709551615}')
    assert answer_of(done) == {"eventId": "e-1", "stream": "home.light"}
    assert flux.last.json == {
        "stream": "home.light",
        "source": 'me "and" you\t',
        "eventId": "e-1",
        "payload": {
            "entity_id": 'home/the "lamp"\\',
            "properties": {"on": True, "n": 18446744073709551615},
        },
    }


def test_publish_has_defaults_and_reads_standard_input(run: Run, flux: ContractServer) -> None:
    answer_of(run("publish", "home/lamp", "-", stdin='{\n"on": true}\n'))
    assert flux.last.json == {
        "stream": "shell",
        "source": "flux.sh",
        "payload": {"entity_id": "home/lamp", "properties": {"on": True}},
    }


@pytest.mark.parametrize("entity_id", ODD_IDS)
def test_any_id_can_be_published_read_and_deleted(run: Run, flux: ContractServer, entity_id: str) -> None:
    answer_of(run("publish", entity_id, '{"on": true}'))
    assert list(flux.entities) == [entity_id]
    assert answer_of(run("get", entity_id))["id"] == entity_id
    assert answer_of(run("delete", entity_id))["entity_id"] == entity_id
    assert flux.entities == {}


def test_id_may_begin_with_a_dash_after_two(run: Run, flux: ContractServer) -> None:
    answer_of(run("publish", "--", "--lamp", "{}"))
    assert list(flux.entities) == ["--lamp"]


def test_list_filters(run: Run, flux: ContractServer) -> None:
    flux.entities = {"home/a b": {}, "home/c": {}, "work/a": {}}
    assert len(answer_of(run("list"))) == 3
    assert flux.last.parameters == {}
    listed = answer_of(run("list", "--namespace", "home", "--prefix", "home/a &"))
    assert listed == []
    assert flux.last.parameters == {"namespace": "home", "prefix": "home/a &"}
    assert [entity["id"] for entity in answer_of(run("list", "--prefix", "home/a "))] == ["home/a b"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["--namespace", "home"], {"namespace": "home"}),
        (["--prefix", 'home/"a'], {"prefix": 'home/"a'}),
        (["home/a, b", 'home/"c"'], {"entity_ids": ["home/a, b", 'home/"c"']}),
    ],
)
def test_batch_delete(run: Run, flux: ContractServer, arguments: list[str], sent: object) -> None:
    assert answer_of(run("batch-delete", *arguments))["failed"] == 0
    assert flux.last.json == sent


def test_batch_takes_a_file_and_standard_input(run: Run, flux: ContractServer, tmp_path: Path) -> None:
    text = (
        '{"events": [{"stream": "Bad"},\n{"stream": "a", "payload": {"entity_id": "b", "properties": {}}}]}'
    )
    file = tmp_path / "the events.json"
    file.write_text(text)
    for done in (run("batch", str(file)), run("batch", "-", stdin=text)):
        answer = answer_of(done)
        assert (answer["successful"], answer["failed"]) == (1, 1)
        assert flux.last.body.decode() == text


def test_connectors(run: Run) -> None:
    assert answer_of(run("connectors"))["connectors"][0]["name"] == "github"


def test_admin_config_is_shown_and_changed_with_json_types(run: Run, flux: ContractServer) -> None:
    assert answer_of(run("admin-config"))["rate_limit_enabled"] is True
    answer_of(
        run("admin-config", "rate_limit_enabled=false", "rate=-1.5e3", "id=007", "text=a=b", "none=null")
    )
    assert flux.last.method == "PUT"
    assert flux.last.json == {
        "rate_limit_enabled": False,
        "rate": -1500.0,
        "id": "007",
        "text": "a=b",
        "none": None,
    }


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b'{"error":"Entity not found"}', "Entity not found"),
        (503, b'{"error":"later\\u001b[31m"}', "later"),
        (500, b"", "gave no reason"),
        (302, b"moved\x1b[31m\n", "moved"),
    ],
)
def test_answer_that_is_no_2xx_fails_on_standard_error(
    run: Run, flux: ContractServer, status: int, body: bytes, message: str
) -> None:
    for path in (None, os.environ["PATH"]):  # without jq, and with it if it is there
        flux.answer_with(status, body)
        done = run("get", "home/lamp", **({"PATH": path} if path else {}))
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
        assert f"({status})" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "\x1b" not in done.stderr


def test_nobody_listening_says_what_to_do(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    big = '{"text": "' + "x" * 100_000 + '"}'
    for done in (run("health", FLUX_URL=url), run("publish", "home/lamp", "-", stdin=big, FLUX_URL=url)):
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            done.stderr == f"flux.sh: cannot reach Flux at {url}; start it with `flux up` or set FLUX_URL\n"
        )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["health", "now"],
        ["publish", "home/lamp"],
        ["publish", "", "{}"],
        ["publish", "home/lamp", "on=true"],
        ["publish", "home/lamp", "{}", "--colour", "warm"],
        ["publish", "home/lamp", "{}", "--source"],
        ["get"],
        ["get", ""],
        ["get", "a", "b"],
        ["list", "home"],
        ["delete"],
        ["batch-delete"],
        ["batch-delete", "a", "--prefix", "b"],
        ["batch"],
        ["batch", "no such file"],
        ["batch", "/"],
        ["admin-config", "rate_limit_enabled"],
    ],
    ids=" ".join,
)
def test_misuse_is_told_before_anything_is_sent(run: Run, flux: ContractServer, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(("flux.sh: ", "usage: "))
    assert flux.requests == []


def test_properties_are_judged_by_jq_where_there_is_one(run: Run, flux: ContractServer, tools: Path) -> None:
    """A stand-in for jq says no to everything, so what is refused here was asked of it."""
    (tools / "jq").write_text(f"#!{tools}/bash\ncat >/dev/null\nexit 1\n")
    (tools / "jq").chmod(0o755)
    done = run("publish", "home/lamp", '{"on": true}')
    assert done.returncode == 1
    assert "must be a JSON object" in done.stderr
    (tools / "jq").write_text(f"#!{tools}/bash\ncat >/dev/null\n")
    assert run("publish", "home/lamp", '{"n": 18446744073709551615}').returncode == 0
    assert b"18446744073709551615" in flux.last.body


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ftp://host", "http://me:secret@host", "http://host?token=secret", "http://a b"]
)
def test_url_that_cannot_be_right_is_refused_without_repeating_it(run: Run, url: str) -> None:
    done = run("health", FLUX_URL=url)
    assert done.returncode == 1
    assert "must look like" in done.stderr
    assert "secret" not in done.stderr


def test_tokens_reach_the_server_and_no_process_list(
    run: Run, flux: ContractServer, tools: Path, tmp_path: Path
) -> None:
    record = tmp_path / "arguments"
    (tools / "curl").unlink()
    (tools / "curl").write_text(
        f'#!{tools}/bash\nprintf "%s\\n" "$@" >>{record}\nexec {shutil.which("curl")} "$@"\n'
    )
    (tools / "curl").chmod(0o755)
    tokens = {"FLUX_TOKEN": 'secret-"one"\\', "FLUX_ADMIN_TOKEN": "secret-two"}
    answer_of(run("publish", "home/lamp", "{}", **tokens))
    answer_of(run("admin-config", "rate=1", **tokens))
    sent = [request.headers["authorization"] for request in flux.requests]
    assert sent == ['Bearer secret-"one"\\', "Bearer secret-two"]
    assert "/api/events" in record.read_text()
    assert "secret" not in record.read_text()
    assert not any("secret" in request.target for request in flux.requests)


def test_without_a_token_no_authorization_is_sent(run: Run, flux: ContractServer) -> None:
    answer_of(run("health"))
    assert "authorization" not in flux.last.headers


def test_token_that_no_header_can_hold_is_refused_without_repeating_it(
    run: Run, flux: ContractServer
) -> None:
    done = run("health", FLUX_TOKEN="secret\nX-Other: 1")
    assert done.returncode == 1
    assert "a token must be" in done.stderr
    assert "secret" not in done.stderr
    assert flux.requests == []


def test_help_teaches_every_command(run: Run) -> None:
    done = run("help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert f"  {command}" in done.stdout
    assert done.stdout == run("--help").stdout
