"""Puts the clock of a Python process forward or back: as many seconds as stand in the file `CLOCK_SKEW_FILE`.

Python imports this by its name when its folder is on PYTHONPATH. It imports nothing of Flux: it runs in every
Python process of a node, before anything else. The file is looked at ten times a second at most, so the clock
of a process that runs can be stepped. Steady clocks (`time.monotonic`) are left alone, as a step of a real
clock leaves them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

LOOK_S = 0.1


class SkewedClock:
    """The time of this machine and what a file adds to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._looked_s = -LOOK_S
        self._skew_ns = 0
        self._real_ns: Callable[[], int] = time.time_ns
        self._steady_s: Callable[[], float] = time.monotonic

    def time_ns(self) -> int:
        """Return nanoseconds since 1970."""
        steady_s = self._steady_s()
        if steady_s - self._looked_s >= LOOK_S:
            self._looked_s = steady_s
            self._look()
        return self._real_ns() + self._skew_ns

    def time(self) -> float:
        """Return seconds since 1970."""
        return self.time_ns() / 1e9

    def _look(self) -> None:
        try:
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs every process 10 ms
                self._skew_ns = int(float(file.read()) * 1e9)
        except FileNotFoundError:
            self._skew_ns = 0


def install(path: str) -> None:
    """Have this process read the skewed clock; what reads it in C, such as `datetime.now`, is left out."""
    clock = SkewedClock(path)
    time.time, time.time_ns = clock.time, clock.time_ns


if "CLOCK_SKEW_FILE" in os.environ:
    install(os.environ["CLOCK_SKEW_FILE"])
