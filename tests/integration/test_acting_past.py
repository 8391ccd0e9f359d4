"""The past of an entity with a reducer on the real engine: each event by the version that held then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningFlux, clean_environment, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SHARD = "ray::ShardProcess"
# Two versions of a reducer under one name, and its end: behind each step an event, with what came of it.
SCRIPT = """
import json
import sys
import time
import uuid
import httpx
import flux_actors as flux

url, space = sys.argv[1:]

class Sums(flux.Behaviour):
    match = space + "/*"
    def reduce(self, state, event):
        return {"sum": (state.get("sum") or 0) + event.properties["n"]}

class Counts(flux.Behaviour):
    match = space + "/*"
    def reduce(self, state, event):
        return {"sum": state.get("sum"), "count": (state.get("count") or 0) + 1}

def publish():
    event = {"stream": "s", "source": "s", "payload": {"entity_id": space + "/e", "properties": {"n": 5}}}
    event["eventId"] = str(uuid.uuid4())
    deadline = time.monotonic() + 30
    while True:  # a reducer that is still being loaded is told by 503
        answer = httpx.post(url + "/api/events?wait=applied", json=event, timeout=30)
        if answer.status_code != 503 or time.monotonic() > deadline:
            break
    answer.raise_for_status()
    seen.append([answer.headers["flux-position"], answer.json()["entity"]["properties"]])

seen = []
publish()
for step in (
    lambda: flux.deploy(Sums, name=space),
    lambda: flux.deploy(Counts, name=space),
    lambda: flux.rollback(space),
    lambda: flux.remove(space),
):
    step()
    publish()
    publish()
print(json.dumps(seen))
"""
EXPECTED = [
    {"n": 5},
    {"n": None, "sum": 5},
    {"n": None, "sum": 10},
    {"n": None, "sum": 10, "count": 1},
    {"n": None, "sum": 10, "count": 2},
    {"n": None, "sum": 15, "count": None},
    {"n": None, "sum": 20, "count": None},
    {"n": 5, "sum": 20, "count": None},
    {"n": 5, "sum": 20, "count": None},
]


def run(flux: RunningFlux, folder: Path, *arguments: str) -> str:
    """Run Python as somebody who knows where the Flux is; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment() | {"FLUX_DATA": str(flux.data.absolute())},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def properties(flux: RunningFlux, entity_id: str, **parameters: str) -> Any:
    answer = httpx.get(f"{flux.url}/api/state/entities/{entity_id}", params=parameters, timeout=30)
    return answer.json()["properties"] if answer.status_code == 200 else answer.text


def test_present_and_past_are_by_the_versions_that_held_also_behind_a_crash(
    restartable_flux: RunningFlux, tmp_path: Path
) -> None:
    flux, entity_id = restartable_flux, "versions/e"
    (tmp_path / "versions.py").write_text(SCRIPT)
    seen = json.loads(run(flux, tmp_path, "versions.py", flux.url, "versions").splitlines()[-1])
    assert [made for _, made in seen] == EXPECTED
    victim = flux.pid_of(SHARD)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: flux.pid_of(SHARD) != victim, 30, "another shard")
    first, last = seen[0][0], seen[-1][0]
    wait_for(lambda: properties(flux, entity_id, at=first) == EXPECTED[0], 30, "the shard to have recovered")
    assert [properties(flux, entity_id, at=position) for position, _ in seen] == EXPECTED
    assert properties(flux, entity_id, at_least=last) == EXPECTED[-1]
    listed = httpx.get(f"{flux.url}/api/state/entities", params={"namespace": "versions"}, timeout=30)
    assert [one["properties"] for one in listed.json()] == [EXPECTED[-1]]
    told = json.loads(
        run(flux, tmp_path, "-m", "flux_actors", "history", entity_id, "--url", flux.url, "-o", "json")
    )
    assert [one["payload"]["properties"] for one in told] == [{"n": 5}] * len(seen)
    assert {one["source"] for one in told} == {"s"}
