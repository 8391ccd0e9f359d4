"""The machine that a run was made on: figures without it say little."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from flux_bench.outcome import Machine


def this_machine() -> Machine:
    """Return what this machine is."""
    return Machine(
        _processor(),
        os.cpu_count() or 1,
        round(psutil.virtual_memory().total / 2**30, 1),
        f"{platform.system()} {platform.release()}",
        platform.python_version(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
