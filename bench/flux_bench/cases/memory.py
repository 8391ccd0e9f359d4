"""Memory: of an entity, and of everything that runs while nothing happens."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import msgspec

from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case, Stage
from flux_bench.lab import Lab, wait
from flux_bench.metering import memory_mb
from flux_bench.outcome import Measured, Row
from flux_bench.targets import at_most


class _Told(msgspec.Struct):
    bytes: float
    history_bytes: float
    history_off: bool


def entity_memory(lab: Lab) -> Measured:
    """Fold many entities in a process of its own."""
    command = [sys.executable, "-m", "flux_bench.entity_memory", str(lab.scale.memory_entities)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise Corrupt(done.stderr.decode().strip().splitlines()[-1])
    told = msgspec.json.decode(done.stdout, type=_Told)
    note = "history off" if told.history_off else f"{told.history_bytes:.0f} bytes of history are subtracted"
    return Measured({"kb": (told.bytes - told.history_bytes) / 1000}, note=note)


def idle_memory(lab: Lab) -> Measured:
    """Look at everything that `flux up` has started, before anything is asked of it."""
    run = lab.mine.run
    wait(lab.scale.idle_s)
    found = memory_mb(run.run_id, run.pid)
    return Measured({"mb": sum(found.values())}, memory_mb=found)


CASES: Final = (
    Case(
        "entity-memory",
        (Row("kb", "memory per entity (3 properties, history off)", "KB", at_most(0.9, "KB")),),
        entity_memory,
        Stage.ALONE,
    ),
    Case(
        "idle-memory",
        (Row("mb", "idle footprint of everything flux up starts (PSS)", "MB", at_most(900, "MB")),),
        idle_memory,
        own=True,
        times_max=1,
    ),
)
