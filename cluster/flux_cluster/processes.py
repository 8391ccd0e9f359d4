"""Care for processes: every process of a run carries the run's id and can be found and ended by it.

Ray puts its processes into the background, so parenthood does not last. The supervisor therefore makes
itself the reaper of orphans below it, and marks all it starts with `FLUX_RUN_ID` in their environment:
after a kill of the supervisor the next `flux up` or `flux down` finds what was left, by pid.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Final

import psutil

RUN_ID: Final = "FLUX_RUN_ID"
_PR_SET_CHILD_SUBREAPER: Final = 36
_POLL_S: Final = 0.05


def become_reaper() -> None:
    """Have orphaned descendants become children of this process (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(own: Iterable[int]) -> None:
    """Take the exit status of dead orphans; `own` are children that somebody else waits for."""
    waited_for = set(own)
    for child in psutil.Process().children():
        if child.pid not in waited_for and not lives(child):
            try:
                os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                continue  # it was reaped meanwhile


def lives(process: psutil.Process) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def of_run(run_id: str) -> list[psutil.Process]:
    """Return the living processes marked with `run_id`, this one left out."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            marked = process.environ().get(RUN_ID) == run_id
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            continue  # somebody else's, or gone
        if marked:
            found.append(process)
    return found


def end_all(processes: list[psutil.Process], grace_s: float) -> None:
    """End processes: ask, wait up to `grace_s`, then kill."""
    _signal_all(processes, signal.SIGTERM)
    if not _wait_gone(processes, grace_s):
        _signal_all(processes, signal.SIGKILL)
        _wait_gone(processes, grace_s)


def same_process(pid: int, created: float) -> psutil.Process | None:
    """Return the process `pid` if it is the one that was started at `created`."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - created) < 1.0 and lives(process) else None
    except psutil.NoSuchProcess:
        return None


def _signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _wait_gone(processes: list[psutil.Process], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(map(lives, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
