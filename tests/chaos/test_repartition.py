"""`kill -9` of the command, and of everything, while a log is repartitioned: one log is whole, and serves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from tests.chaos.behaving import Feeding
from tests.chaos.conftest import Load
from tests.chaos.test_behaviours import DEPLOY, Clocks
from tests.conftest import RunningFlux, clean_environment, wait_for
from tests.patient import Client

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(500)]

COMMAND_S = 180
PACE_S = 0.15  # so that the 450 events of a writer last for longer than a command takes
# What the command says, and how long it lives behind that: while it copies, compares, and switches.
PHASES = {"comparing": 0.0, "switching": 0.0, "switching, later": 0.03, "switching, near its end": 0.12}


def begun(flux: RunningFlux, partitions: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "flux_actors", "repartition", "-o", "json"),
            *("--partitions", str(partitions), "--data", str(flux.data)),
        ],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_behind(process: subprocess.Popen[str], word: str, after_s: float, also: Callable[[], Any]) -> None:
    """Kill a command some time after it has said a word."""
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if word in line:
            break
    else:
        process.communicate(timeout=COMMAND_S)
        pytest.fail(f"the command ended before: {said}")
    time.sleep(after_s)
    also()
    process.kill()
    process.communicate(timeout=COMMAND_S)


def finished(process: subprocess.Popen[str]) -> Any:
    out, errors = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, errors
    return msgspec.json.decode(out)


def ready(flux: RunningFlux) -> int:
    """Return how many partitions serve, 0 unless all do."""
    try:
        told = httpx.get(f"{flux.url}/api/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return 0
    return int(told["partitions"]["ready"]) if told.get("status") == "ok" else 0


def test_whatever_is_killed_one_log_is_whole_and_the_command_can_be_run_again(make_flux):
    flux = make_flux(["--partitions", "2"])
    flux.start()
    partitions = 2
    for phase, after_s in PHASES.items():
        with under_load(flux) as load:
            process = begun(flux, partitions + 1)
            killed_behind(process, phase.split(",")[0], after_s, also=lambda: None)
            partitions = goes_on(flux, load, partitions)
    for after_s in (0.0, 0.05):
        with under_load(flux) as load:
            process = begun(flux, partitions + 1)
            killed_behind(process, "switching", after_s, flux.kill_everything)
            flux.start()
            partitions = goes_on(flux, load, partitions)
    with under_load(flux) as load:
        done = finished(begun(flux, partitions + 1))
        assert done["partitions"] == [partitions, partitions + 1]
        wait_for(lambda: ready(flux) == partitions + 1, 60, "the new partitions")
        goes_on(flux, load, partitions)


def test_entities_that_act_have_every_effect_once_over_the_switch(make_flux):
    flux = make_flux(["--partitions", "4"])
    flux.start()
    flux.as_driver(DEPLOY)
    feeding = Feeding(Client(flux.url))
    feeding.start()
    wait_for(lambda: feeding.done() > 50, 60, "messages to have effects")
    clocks = Clocks(feeding.client, "of-repartition", lambda n: 1.0 + n / 2)
    assert finished(begun(flux, 8))["partitions"] == [4, 8]
    wait_for(lambda: ready(flux) == 8, 60, "the new partitions")
    seen = feeding.done()
    wait_for(lambda: feeding.done() > seen + 50, 60, "more effects")
    feeding.finish()
    wait_for(lambda: feeding.done() == feeding.acked(), 60, "all effects")
    feeding.check()
    wait_for(lambda: clocks.rung().keys() == clocks.due.keys(), 60, "all reminders")
    assert {one["properties"]["times"] for one in clocks.rung().values()} == {1}
    feeding.client.close()


@contextmanager
def under_load(flux: RunningFlux) -> Iterator[Load]:
    """Have writers write meanwhile; all that was acknowledged is there then, once and in order."""
    load = Load(flux.url)
    load.start(6, PACE_S)
    wait_for(lambda: load.acked() > 30, 60, "the load to run")
    yield load
    load.finish()
    load.check()


def goes_on(flux: RunningFlux, load: Load, partitions: int) -> int:
    """See that writes go on, on the log as it was or on the next one; return how many partitions that has."""
    acked = load.acked()
    wait_for(lambda: load.acked() > acked + 10, 60, "writes to go on")
    found = wait_for(lambda: ready(flux), 60, "all partitions to serve")
    assert found in {partitions, partitions + 1}
    return int(found)
