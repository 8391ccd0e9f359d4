"""Processor time and memory of a Flux on this machine, by part."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final, Self

import psutil

from flux_cluster.processes import of_run

MB: Final = 1_000_000
_SAMPLE_S: Final = 0.005
_LOOPBACK: Final = "lo"
_PARTS: Final = (
    ("ServeReplica", "door"),
    ("Shard", "shard"),
    ("Router", "router"),
    ("nats-server", "log"),
    ("WorkerProcess", "worker"),  # where behaviours run
)


def part_of(title: str) -> str:
    """Return which part of Flux the process with this title is."""
    return next((part for text, part in _PARTS if text in title), "Ray and the rest")


def title_of(process: psutil.Process) -> str:
    """Return how a process calls itself; empty when it is gone."""
    try:
        return " ".join([process.name(), *process.cmdline()[:1]])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def parts(run_id: str) -> dict[str, list[psutil.Process]]:
    """Return the processes of a run by part."""
    found: dict[str, list[psutil.Process]] = {}
    for process in of_run(run_id):
        if title := title_of(process):
            found.setdefault(part_of(title), []).append(process)
    return found


class Meter:
    """What the parts of a run have used since it was made."""

    def __init__(self, run_id: str) -> None:
        self._processes = parts(run_id)
        self._before = self._used()
        self._written_before = self._written()

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of the processor that each part had."""
        return {part: seconds - self._before[part] for part, seconds in self._used().items()}

    def log_bytes(self) -> int:
        """Return the bytes that nats-server wrote, to its clients and to its files."""
        return self._written() - self._written_before

    def _written(self) -> int:
        return sum(map(_bytes_written, self._processes.get("log", [])))

    def _used(self) -> dict[str, float]:
        return {part: sum(map(_cpu_s, processes)) for part, processes in self._processes.items()}


def loopback_bytes() -> int:
    """Return how many bytes the processes of this machine have sent each other, heads of packets included."""
    counters = psutil.net_io_counters(pernic=True).get(_LOOPBACK)
    return int(counters.bytes_sent) if counters is not None else 0


class Growth:
    """How far a process's memory grew while something was done, sampled all along.

    With `with Growth(process) as growth: …`, `growth.mb` is the growth in megabytes.
    """

    def __init__(self, process: psutil.Process | None) -> None:
        self.mb = 0.0
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = self._peak = _rss(process)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.mb = (max(self._peak, _rss(self._process)) - self._before) / MB

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._peak = max(self._peak, _rss(self._process))


def memory_mb(run_id: str, supervisor: int) -> dict[str, float]:
    """Return each part's proportional share of memory (PSS) in megabytes."""
    found = {part: sum(map(pss, processes)) / MB for part, processes in parts(run_id).items()}
    return found | {"supervisor": pss(psutil.Process(supervisor)) / MB}


def pss(process: psutil.Process) -> float:
    """Return a process's proportional share of memory in bytes, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _cpu_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return used.user + used.system


def _bytes_written(process: psutil.Process) -> int:
    try:
        return int(process.io_counters().write_chars)
    except psutil.NoSuchProcess:
        return 0


def _rss(process: psutil.Process | None) -> int:
    try:
        return int(process.memory_info().rss) if process is not None else 0
    except psutil.NoSuchProcess:
        return 0
