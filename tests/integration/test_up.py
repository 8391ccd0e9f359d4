"""`flux up`, `flux down`, `flux status` as a user meets them: one-sentence refusals, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from flux_cluster.data_folder import DataFolder
from flux_cluster.ports import is_free
from flux_cluster.processes import lives, of_run

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
SECOND_START_S = 12.0
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("FLUX_", "RAY_"))}


def flux_command(*arguments: str, environment: dict[str, str] | None = None, timeout_s: float = 120):
    return subprocess.run(
        [sys.executable, "-m", "flux_actors", *arguments],
        env=ENVIRONMENT | (environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return (result.stderr.strip() or result.stdout.strip()).splitlines()[-1]


def test_a_taken_port_is_one_clear_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = flux_command("up", "--port", str(port), "--data", str(tmp_path / "data"))
    assert result.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in last_line(result)
    assert "Traceback" not in result.stderr + result.stdout
    assert DataFolder(tmp_path / "data").run() is None


def test_an_unwritable_data_folder_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    result = flux_command("up", "--data", str(tmp_path / "file" / "data"))
    assert result.returncode == 1
    assert "cannot be written" in last_line(result)
    assert "--data" in last_line(result)
    assert "Traceback" not in result.stderr + result.stdout


def test_a_second_up_on_the_same_folder_is_refused_and_names_the_first(flux):
    result = flux_command("up", "--port", "39999", "--data", str(flux.data))
    assert result.returncode == 1
    assert "already runs" in last_line(result)
    assert "flux down" in last_line(result)
    assert httpx.get(f"{flux.url}/api/live").status_code == 200


def test_an_unknown_setting_is_refused(tmp_path):
    result = flux_command("up", "--data", str(tmp_path), environment={"FLUX_PROT": "3000"})
    assert result.returncode == 1
    assert "unknown setting FLUX_PROT" in last_line(result)


@pytest.mark.long
def test_another_partition_count_is_refused_for_a_log_that_exists(tmp_path, restartable_flux):
    restartable_flux.stop()
    result = flux_command(
        *("up", "--port", str(restartable_flux.port), "--data", str(restartable_flux.data)),
        *("--partitions", "7"),
    )
    restartable_flux.start()
    assert result.returncode == 1
    assert "4 partitions" in last_line(result)


@pytest.mark.long
def test_snapshots_of_another_log_stop_the_start_with_the_reason(restartable_flux, tmp_path):
    restartable_flux.stop()  # it leaves snapshots
    data = tmp_path / "data"
    shutil.copytree(restartable_flux.data / "snapshots", data / "snapshots")
    try:
        result = flux_command("up", "--port", str(restartable_flux.port), "--data", str(data))
    finally:
        restartable_flux.start()
    assert result.returncode == 1
    assert "belong to another log" in last_line(result)


def test_too_old_python_is_one_clear_sentence(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    scripts = Path(__file__).parents[2] / "scripts"
    result = subprocess.run(
        ["/bin/bash", str(scripts / "setup.sh")],
        env=ENVIRONMENT | {"PYTHON": str(old)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "3.11" in result.stderr + result.stdout


def test_status_tells_what_runs_where_and_how_far(flux):
    result = flux_command("status", "--data", str(flux.data), "-o", "json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["url"].endswith(str(flux.port))
    assert [part["partition"] for part in facts["partitions"]] == [0, 1, 2, 3]
    assert all(part["shard"].startswith("flux-shard-") for part in facts["partitions"])
    table = flux_command("status", "--data", str(flux.data))
    assert re.search(r"flux-shard-0-e\d+", table.stdout)
    assert "entities" in table.stdout


def test_no_secret_is_in_a_command_line_or_a_log(flux):
    config = (flux.data / "nats" / "server.conf").read_text()
    password = config.partition('password: "')[2].partition('"')[0]
    token = (flux.data / "ray-token").read_text()
    assert len(password) > 20
    assert len(token) > 20
    assert (flux.data / "nats" / "server.conf").stat().st_mode & 0o077 == 0
    assert (flux.data / "ray-token").stat().st_mode & 0o077 == 0
    for process in of_run(flux.run.run_id):
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:  # Ray ends workers that idle
            continue
        assert password not in line
        assert token not in line
    ray_logs = Path(flux.run.ray_folder).glob("ray/session_*/logs/**/*")
    logs = [*(flux.data / "logs").iterdir(), *ray_logs, flux.output]
    texts = [path.read_text(errors="replace") for path in logs if path.is_file()]
    assert texts
    assert not any(password in text or token in text for text in texts)


@pytest.mark.long
def test_detach_down_and_a_second_start_within_its_bound(tmp_path):
    data = tmp_path / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"FLUX_PORT": str(port), "FLUX_DATA": str(data)}
    first = flux_command("up", "--detach", environment=environment)
    assert first.returncode == 0, first.stderr
    run = DataFolder(data).run()
    assert run is not None
    body = {"stream": "a", "source": "s", "payload": {"entity_id": "n/e", "properties": {"a": 1}}}
    httpx.post(f"{run.url}/api/events", json=body).raise_for_status()
    stopped = flux_command("down", environment=environment)
    assert stopped.returncode == 0, stopped.stderr
    assert of_run(run.run_id) == []
    seconds = [second_start(environment, run.url)]
    while min(seconds) > SECOND_START_S and len(seconds) < 3:  # other work on the machine counts too
        seconds.append(second_start(environment, run.url))
    assert min(seconds) <= SECOND_START_S, seconds
    assert "no Flux runs" in flux_command("down", environment=environment).stdout


def second_start(environment: dict[str, str], url: str) -> float:
    """Start on a data folder that has been in use, and stop; return the seconds until it was ready."""
    started = time.monotonic()
    start = flux_command("up", "--detach", environment=environment)
    seconds = time.monotonic() - started
    assert start.returncode == 0, start.stderr
    assert httpx.get(f"{url}/api/state/entities/n/e").json()["properties"] == {"a": 1}
    assert flux_command("down", environment=environment).returncode == 0
    return seconds


def test_ctrl_c_leaves_no_process_port_or_temporary_file(tmp_path, restartable_flux):
    run = restartable_flux.run
    before = {path for path in Path(run.ray_folder).parent.iterdir() if path.name.startswith("flux-ray-")}
    restartable_flux.stop()  # asserts: exit code 0, no process of the run, no folder of Ray
    assert Path(run.ray_folder) in before
    assert not Path(run.ray_folder).exists()
    assert is_free("127.0.0.1", restartable_flux.port)
    assert is_free("127.0.0.1", restartable_flux.serve_port)
    left = sorted(path.name for path in restartable_flux.data.iterdir())
    assert left == ["lock", "logs", "nats", "snapshots"]
    restartable_flux.start()


def test_a_killed_supervisor_leaves_flux_serving_and_the_next_up_takes_over(restartable_flux):
    run = restartable_flux.run
    os.kill(run.pid, signal.SIGKILL)
    assert restartable_flux.process is not None
    restartable_flux.process.wait(10)
    assert httpx.get(f"{restartable_flux.url}/api/health").status_code == 200
    left = of_run(run.run_id)
    assert left
    restartable_flux.start()
    assert not any(map(lives, left))
    assert not Path(run.ray_folder).exists()
