"""Clocks of processes that are put forward and back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from flux_cluster.chaos.clocks import SkewedClock

CODE = """
import sys, time
from flux_actors.surroundings import HERE
for _ in sys.stdin:
    print(HERE.now_us() / 1e6, time.time(), time.monotonic(), flush=True)
"""


class Process:
    """A process that tells its clocks when it is asked."""

    def __init__(self, clock: SkewedClock) -> None:
        environment = clock.environment(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ahead_s(self) -> list[float]:
        """Return how far Flux's clock, Python's and the steady one are in front of ours."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = map(float, self._process.stdout.readline().split())
        ours = time.time(), time.time(), time.monotonic()
        return [theirs - our for theirs, our in zip(told, ours, strict=True)]

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture
def clock(tmp_path) -> SkewedClock:
    return SkewedClock(tmp_path / "clock")


@pytest.fixture
def process(clock) -> Iterator[Process]:
    process = Process(clock)
    yield process
    process.close()


def test_a_clock_is_stepped_while_its_process_runs(clock, process, eventually):
    for by_s in (0.0, 120.0, -120.0, 0.0):
        clock.put(by_s)
        expected = pytest.approx([by_s, by_s, 0], abs=1)
        eventually(lambda expected=expected: process.ahead_s() == expected, 20, f"a clock {by_s:+g} s")


def test_a_process_keeps_the_folders_that_it_had(clock):
    assert clock.environment({"PYTHONPATH": "/there", "A": "b"})["PYTHONPATH"].endswith(":/there")
    assert not clock.environment({})["PYTHONPATH"].endswith(":")
