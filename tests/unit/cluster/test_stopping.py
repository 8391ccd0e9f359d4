"""Stopping a Flux from outside: `flux down`, and what a killed supervisor left."""

from __future__ import annotations

import os
import subprocess

import psutil
import pytest

from flux_actors.errors import Unavailable
from flux_cluster import supervisor
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.processes import lives
from flux_cluster.supervisor import down, end_run, owner


@pytest.fixture
def spawn():
    """Start a shell command of a run; it is killed after the test."""
    started = []

    def start(command, run_id=""):
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"{command}"],
            env={"PATH": os.environ["PATH"], "FLUX_RUN_ID": run_id},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return psutil.Process(process.pid)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def run_of(folder, pid, created, ray_folder=""):
    run = Run("run-of-this-test", pid, created, "http://x", "", "", "", str(ray_folder))
    folder.write_run(run)
    return run


def test_where_nothing_runs_there_is_nothing_to_stop(folder):
    assert down(folder, 1.0) is False


def test_the_supervisor_is_asked_to_end(folder, spawn):
    process = spawn("echo ready; exec sleep 60")
    run_of(folder, process.pid, process.create_time())
    assert down(folder, 5.0) is True
    assert not lives(process)
    assert folder.run() is None


def test_one_that_does_not_end_in_time_is_told(folder, spawn):
    process = spawn('trap "" TERM; echo ready; while :; do read -r _ || :; done')
    run_of(folder, process.pid, process.create_time())
    with pytest.raises(Unavailable, match=f"pid {process.pid}"):
        down(folder, 0.05)
    assert folder.run() is not None


def test_a_stranger_with_the_pid_of_a_dead_supervisor_is_left_alone(folder, spawn):
    stranger = spawn("echo ready; exec sleep 60")
    run_of(folder, stranger.pid, stranger.create_time() - 1_000)
    assert down(folder, 1.0) is True
    assert lives(stranger)
    assert folder.run() is None


def test_what_a_killed_supervisor_left_is_ended_and_removed(folder, spawn, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_GRACE_S", 5.0)
    left, other = (spawn("echo ready; read -r _", name) for name in ("run-of-this-test", "other"))
    ray_folder = tmp_path / "ray"
    (ray_folder / "session").mkdir(parents=True)
    end_run(folder, run_of(folder, 1, 0.0, ray_folder))
    assert (lives(left), lives(other), ray_folder.exists(), folder.run()) == (False, True, False, None)


def test_two_folders_have_two_owners(tmp_path):
    assert owner(DataFolder(tmp_path / "a")) != owner(DataFolder(tmp_path / "b"))
    assert str(tmp_path / "a") in owner(DataFolder(tmp_path / "a"))
