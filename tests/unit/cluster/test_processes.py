"""Care for processes: found by the run they belong to, asked to end, then made to."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
import uuid
from contextlib import ExitStack

import psutil
import pytest

from flux_cluster import processes
from flux_cluster.processes import RUN_ID, become_reaper, end_all, lives, of_run, reap, same_process

STUBBORN = 'trap "" TERM; echo ready; while :; do read -r _ || :; done'
DEADLINE_S = 20.0


@pytest.fixture
def spawn():
    """Start a shell command; whatever still runs is killed after the test."""
    with ExitStack() as ends:

        def start(command="echo ready; exec sleep 60", **environment):
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                env={"PATH": os.environ["PATH"]} | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            ends.enter_context(process)
            ends.callback(process.kill)
            assert process.stdout.readline() == b"ready\n"
            return psutil.Process(process.pid)

        yield start


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_processes_of_a_run_are_found_and_no_others(spawn):
    run_id = uuid.uuid4().hex
    own = {spawn(FLUX_RUN_ID=run_id).pid for _ in range(2)}
    spawn(FLUX_RUN_ID="another")
    spawn()
    assert {process.pid for process in of_run(run_id)} == own


def test_this_process_is_none_of_them(monkeypatch):
    me = psutil.Process()
    monkeypatch.setattr(processes.psutil, "process_iter", lambda: [me])
    monkeypatch.setattr(type(me), "environ", lambda _: {RUN_ID: "mine"})
    assert of_run("mine") == []


def test_a_process_lives_until_it_ends_zombies_included(spawn):
    process = spawn("echo ready; read -r _")
    assert lives(process)
    process.kill()
    until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert not lives(process)
    process.wait()
    assert not lives(process)


def test_one_that_was_asked_ends_by_itself(spawn):
    process = spawn()
    started = time.monotonic()
    end_all([process], 30.0)
    assert not lives(process)
    assert time.monotonic() - started < 15.0


def test_one_that_does_not_listen_is_killed_after_its_grace(spawn):
    stubborn, quiet = spawn(STUBBORN), spawn()
    end_all([stubborn, quiet], 1.0)
    assert not lives(stubborn)
    assert not lives(quiet)


def test_ending_the_dead_and_nobody_is_no_error(spawn):
    process = spawn()
    process.kill()
    process.wait()
    end_all([process], 0.05)
    end_all([], 0.05)


def test_a_process_is_known_by_its_pid_and_its_birth(spawn):
    process = spawn()
    assert same_process(process.pid, process.create_time()) == process
    assert same_process(process.pid, process.create_time() - 60) is None
    process.kill()
    until(lambda: not lives(process))
    assert same_process(process.pid, process.create_time()) is None
    process.wait()
    assert same_process(process.pid, 0.0) is None


@pytest.fixture
def reaper():
    """Make this process the reaper of orphans for the time of a test."""
    become_reaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def test_orphans_become_children_and_are_reaped_when_they_end(spawn, reaper):
    parent = spawn("sleep 60 & echo ready; exec sleep 60")
    (orphan,) = parent.children()
    parent.kill()
    until(lambda: orphan.ppid() == os.getpid())
    orphan.kill()
    until(lambda: not lives(orphan))
    reap([parent.pid])
    assert not psutil.pid_exists(orphan.pid)
    assert psutil.pid_exists(parent.pid)


def test_children_that_somebody_waits_for_and_living_ones_are_left_alone(spawn):
    waited_for, living = spawn(), spawn()
    waited_for.kill()
    until(lambda: not lives(waited_for))
    reap([waited_for.pid])
    assert (psutil.pid_exists(waited_for.pid), lives(living)) == (True, True)
