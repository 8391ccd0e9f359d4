"""The clients on a real Flux: `scripts/flux.sh`, `flux publish` to `flux watch`, and the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flux_actors.client.following import Wish
from flux_actors.client.http import FluxClient
from flux_actors.client.watch import Watcher

pytestmark = pytest.mark.real
SCRIPT = Path(__file__).parents[2] / "scripts" / "flux.sh"
ODD_NAMES = ['kitchen/big "lamp"', "it's 100% a+b&c?d#e", "küche/温度", "a/../b//c", "back\\slash/$HOME/`id`"]

Run = Callable[..., Any]


@pytest.fixture
def shell(flux) -> Run:
    """Run `flux.sh` and return its answer; with `fails`, its words on standard error."""
    return runner(["/bin/bash", str(SCRIPT)], flux.url)


@pytest.fixture
def command(flux) -> Run:
    """Run `flux … -o json` and return its answer; with `fails`, its words on standard error."""
    return runner([sys.executable, "-m", "flux_actors"], flux.url, "-o", "json")


def runner(program: list[str], url: str, *always: str) -> Run:
    def run(*arguments: str, stdin: str = "", fails: bool = False) -> Any:
        done = subprocess.run(
            [*program, *arguments, *always],
            env=environment(url),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, bool(done.stderr)) == ((1, True) if fails else (0, False)), done
        return done.stderr if fails else json.loads(done.stdout)

    return run


def environment(url: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    return plain | {"FLUX_URL": url}


def test_the_published_examples_through_the_shell(shell, namespace, eventually):
    """Two properties, one updated and both there; a batch without timestamps; a prefix list; a deletion."""
    sensor = f"{namespace}/sensor-01"
    answer = shell("publish", sensor, '{"temperature": 22.5, "status": "active"}', "--stream", "sensors")
    assert answer["stream"] == "sensors"
    shell("publish", sensor, '{"temperature": 23.5}')
    both = {"temperature": 23.5, "status": "active"}
    listed = ("list", "--prefix", sensor)  # which is no failure while there is none
    eventually(lambda: [entity["properties"] for entity in shell(*listed)] == [both])
    assert shell("get", sensor)["properties"] == both

    names = [f"{namespace}/room/{number}" for number in range(3)]
    events = [
        {"stream": "sensors", "source": "batch", "payload": {"entity_id": name, "properties": {"n": 1}}}
        for name in names
    ]
    answer = shell("batch", "-", stdin=json.dumps({"events": events}))
    assert (answer["successful"], answer["failed"], len(answer["results"])) == (3, 0, 3)
    eventually(lambda: ids(shell("list", "--prefix", f"{namespace}/room/")) == names)
    assert ids(shell("list", "--namespace", namespace)) == [*names, sensor]

    assert shell("delete", names[0])["entity_id"] == names[0]
    eventually(lambda: ids(shell("list", "--prefix", f"{namespace}/room/")) == names[1:])
    assert "Entity not found" in shell("get", names[0], fails=True)
    assert shell("batch-delete", "--namespace", namespace) == {"deleted": 3, "failed": 0, "errors": []}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_ids_work_through_the_shell(shell, namespace, eventually, name):
    entity_id = f"{namespace}/{name}"
    shell("publish", entity_id, '{"on": true}')
    eventually(lambda: ids(shell("list", "--namespace", namespace)) == [entity_id])
    assert shell("get", entity_id)["id"] == entity_id
    assert shell("batch-delete", entity_id) == {"deleted": 1, "failed": 0, "errors": []}


def test_the_rest_of_the_shell(flux, shell, eventually):
    eventually(lambda: httpx.get(f"{flux.url}/api/health").status_code == 200)
    assert shell("health")["status"] == "ok"
    assert [one["name"] for one in shell("connectors")["connectors"]] == [
        *("github", "gmail", "linkedin", "calendar")
    ]
    config = shell("admin-config")
    assert shell("admin-config", "rate_limit_enabled=true") == config | {"rate_limit_enabled": True}
    assert "rate" in shell("admin-config", "rate_limit_enabled=7", fails=True)
    assert "stream" in shell("publish", "a/b", "{}", "--stream", "No Good", fails=True)


def test_the_commands(command, namespace, tmp_path):
    lamp, heater = f"{namespace}/lamp", f"{namespace}/heater"
    published = command("publish", lamp, "on:=true", "color=warm", "--wait")
    assert published["entity"]["properties"] == {"on": True, "color": "warm"}
    events = tmp_path / "events.ndjson"
    events.write_text(
        "\n".join(
            json.dumps(
                {"stream": "home", "source": "me", "payload": {"entity_id": heater, "properties": {"n": n}}}
            )
            for n in range(3)
        )
    )
    assert command("batch", str(events), "--wait")["successful"] == 3
    assert command("get", lamp)["properties"] == {"on": True, "color": "warm"}
    assert ids(command("list", "--namespace", namespace)) == [heater, lamp]
    assert command("list", "--prefix", f"{namespace}/", "--count") == {"count": 2}
    told = command("history", heater, "--limit", "2")
    assert [event["payload"]["properties"] for event in told] == [{"n": 2}, {"n": 1}]
    assert command("health")["partitions"]["ready"] == 4
    assert command("delete", lamp, "--wait")["entity_id"] == lamp
    assert command("delete", "--namespace", namespace, "--wait")["deleted"] == 1
    assert "Entity not found" in command("get", lamp, fails=True)


def test_a_watch_tells_the_state_and_then_every_change(flux, command, namespace):
    lamp = f"{namespace}/lamp"
    command("publish", lamp, "n:=0", "--wait")
    with watching(flux.url, f"{namespace}/*") as lines:
        assert next(lines)["entity"]["properties"] == {"n": 0}
        command("publish", lamp, "n:=1", "m:=2")
        told = [next(lines), next(lines)]
        assert [(one["property"], one["value"]) for one in told] == [("n", 1), ("m", 2)]
        command("delete", lamp)
        gone = next(lines)
        assert (gone["type"], gone["entity_id"]) == ("entity_deleted", lamp)


def test_a_watch_with_options_begins_behind_a_position_and_tells_what_was_asked(flux, command, namespace):
    lamp, position = f"{namespace}/lamp", ""
    with httpx.Client(base_url=flux.url, timeout=20) as client:
        for n in range(4):
            payload = {"entity_id": lamp, "properties": {"n": n, "m": -n}}
            body = {"stream": "s", "source": "s", "payload": payload}
            answer = client.post("/api/events?wait=applied", json=body)
            position = position or answer.headers["Flux-Position"]
    options = ["--from", position, "--fields", "n", "--format", "delta"]
    with watching(flux.url, f"{namespace}/*", *options) as lines:
        told = [next(lines) for _ in range(3)]
    assert [(one["type"], one["properties"]) for one in told] == [("delta", {"n": n}) for n in (1, 2, 3)]
    with watching(flux.url, f"{namespace}/*", "--where", "n = 3") as lines:
        assert next(lines)["entity"]["properties"] == {"n": 3, "m": -3}
        command("publish", lamp, "n:=4")
        assert next(lines) == {"type": "left", "entity_id": lamp}


def test_a_watcher_begun_in_the_middle_of_writes_ends_at_the_state(flux, namespace):
    entity_id, stop = f"{namespace}/counter", threading.Event()
    last = 0

    def write() -> None:
        nonlocal last
        with FluxClient(flux.url) as client:
            while not stop.is_set():
                last += 1
                client.publish(entity_id, {"n": last, f"k{last % 5}": last}, source="s", stream="s")
            client.publish(entity_id, {"n": last, "end": True}, source="s", stream="s")

    writer = threading.Thread(target=write)
    writer.start()
    state: dict[str, Any] = {}
    with FluxClient(flux.url) as client:
        for message in Watcher(flux.url, Wish((entity_id,))):
            match message:
                case {"type": "state", "entity": entity}:
                    state = dict(entity["properties"])
                case {"type": "state_update", "property": name, "value": value}:
                    state[name] = value
            if state.get("n", 0) > 50:
                stop.set()
            if state.get("end"):
                break
        writer.join(10)
        assert state == client.get(entity_id).properties
    assert state["n"] == last


def test_the_demo_is_this_machine_and_follows_it(flux, namespace):
    arguments = ["demo", "--every", "0.2", "--namespace", namespace, "--name", "box", "--top", "1000"]
    demo = subprocess.Popen(
        [sys.executable, "-m", "flux_actors", *arguments, "--clean"],
        env=environment(flux.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guest = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    process = f"{namespace}/box/process/{guest.pid}"
    try:
        with watching(flux.url, f"{namespace}/*") as lines:
            seen: dict[str, dict[str, Any]] = {}
            while f"{namespace}/box/memory" not in seen or process not in seen:
                follow(seen, next(lines))
            assert seen[f"{namespace}/box/memory"]["total_bytes"] == psutil.virtual_memory().total
            guest.kill()
            guest.wait()
            while process in seen:
                follow(seen, next(lines))
            demo.send_signal(signal.SIGINT)
            while seen:
                follow(seen, next(lines))
        out, err = demo.communicate(timeout=20)
        assert (demo.returncode, err) == (0, "")
        assert f"deleted all under {namespace}/box/" in out
    finally:
        for child in (demo, guest):
            child.kill()
            child.communicate()


def follow(seen: dict[str, dict[str, Any]], message: dict[str, Any]) -> None:
    match message:
        case {"type": "state", "entity": entity}:
            seen[entity["id"]] = dict(entity["properties"])
        case {"type": "state_update", "entity_id": entity_id, "property": name, "value": value}:
            seen.setdefault(entity_id, {})[name] = value
        case {"type": "entity_deleted", "entity_id": entity_id}:
            seen.pop(entity_id, None)


@contextmanager
def watching(url: str, pattern: str, *options: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield what `flux watch` prints; the test's time limit ends a wait for a line that never comes."""
    watch = subprocess.Popen(
        [sys.executable, "-m", "flux_actors", "watch", pattern, "-o", "json", *options],
        env=environment(url),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    try:
        yield map(json.loads, watch.stdout)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(10)
        watch.stdout.close()


def ids(entities: list[dict[str, Any]]) -> list[str]:
    return [entity["id"] for entity in entities]
