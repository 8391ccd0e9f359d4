"""`kill -9` of the commands for bad days, and of a supervisor before one: no log ever has two servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.processes import lives, of_run
from tests.conftest import RunningFlux, clean_environment, wait_for
from tests.integration.api.support import event

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(240)]
COMMAND_S = 90.0
EVENTS = 3_000


def begin(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flux_actors", *arguments, "-o", "json"]
    return subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def told(*arguments: str) -> dict[str, object]:
    """Return the answer of a command, which must succeed."""
    process = begin(*arguments)
    output, errors = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, errors.decode()
    return msgspec.json.decode(output)


def kill_with_its_server_running(data: Path, *arguments: str) -> Run:
    """`kill -9` a command as soon as it has started a server; return what it noted."""
    process = begin(*arguments)
    run = wait_for(DataFolder(data).run, COMMAND_S, "the command to note its run")
    wait_for(lambda: of_run(run.run_id), COMMAND_S, "its server to start")
    process.kill()
    process.communicate(timeout=COMMAND_S)
    assert of_run(run.run_id)
    return run


@pytest.fixture(scope="module")
def written(restartable_flux: RunningFlux) -> dict[str, object]:
    """What a namespace holds whose log takes a moment to copy."""
    with httpx.Client(base_url=restartable_flux.url, timeout=30) as client:
        for first in range(0, EVENTS, 500):
            bodies = [
                event(f"disaster/e{n % 50}", {"n": n, "pad": "x" * 900}) for n in range(first, first + 500)
            ]
            answer = client.post("/api/events/batch?wait=applied", json=bodies).raise_for_status()
            assert answer.json()["successful"] == 500
    return entities(restartable_flux)


def entities(flux: RunningFlux) -> dict[str, object]:
    answer = httpx.get(f"{flux.url}/api/state/entities?namespace=disaster&limit=1000", timeout=30)
    return {one["id"]: one["properties"] for one in answer.raise_for_status().json()}


def test_a_killed_restore_leaves_nothing_that_the_next_one_trips_over(
    restartable_flux, written, make_flux, tmp_path
):
    backup, other = str(tmp_path / "backup"), make_flux()
    assert told("backup", backup, "--data", str(restartable_flux.data))["blocks"]
    left = of_run(
        kill_with_its_server_running(other.data, "restore", backup, "--data", str(other.data)).run_id
    )
    with pytest.raises(AssertionError, match="was not finished; begin it again"):
        other.start()
    told("restore", backup, "--data", str(other.data))
    assert not any(map(lives, left))
    other.start()
    assert entities(other) == written


def test_a_killed_backup_of_a_stopped_flux_is_gone_on_with(restartable_flux, written, tmp_path):
    backup, data = str(tmp_path / "backup"), restartable_flux.data
    restartable_flux.stop()
    left = of_run(kill_with_its_server_running(data, "backup", backup, "--data", str(data)).run_id)
    assert told("backup", backup, "--data", str(data))["blocks"]
    assert not any(map(lives, left))
    assert told("backup", backup, "--check")["blocks"]
    restartable_flux.start()
    assert entities(restartable_flux) == written


def test_a_backup_of_a_flux_whose_supervisor_was_killed_uses_the_server_that_serves_it(
    restartable_flux, written, tmp_path
):
    backup, data = str(tmp_path / "backup"), str(restartable_flux.data)
    server = restartable_flux.pid_of("nats-server")
    os.kill(restartable_flux.process.pid, signal.SIGKILL)
    restartable_flux.process.wait(COMMAND_S)
    assert told("backup", backup, "--data", data)["blocks"]
    assert restartable_flux.pid_of("nats-server") == server
    assert entities(restartable_flux) == written  # its doors serve on
    restartable_flux.start()
    assert entities(restartable_flux) == written
    assert told("backup", backup, "--check")["blocks"]
