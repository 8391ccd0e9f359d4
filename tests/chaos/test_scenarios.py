"""Every scenario that is shipped, played once with a fixed seed in one world; `CHAOS_SEED` is another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from flux_cluster.chaos.command import chosen, report
from flux_cluster.chaos.playing import Play
from flux_cluster.chaos.scenario import Scenario
from flux_cluster.chaos.world import World
from flux_cluster.processes import of_run
from tests.busy import busy
from tests.conftest import clean_environment

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.timeout(400)]
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SHORT = "parts-kill"  # that of every run: three faults in a row


@pytest.fixture(scope="module")
def scale() -> float:
    """How many times longer an outage may last where others have taken cores from the three nodes."""
    return min(2.0, busy())


@pytest.fixture(scope="module")
def world(scale: float) -> Iterator[World]:
    """The world that all are played in; each leaves it at rest."""
    world = World(lambda text: None)
    try:
        asyncio.run(world.start())
        yield world
    finally:
        asyncio.run(world.stop())
        assert not world.folder.exists()
        assert of_run(world.mark) == []


def play(world: World, scenario: Scenario, scale: float) -> None:
    check = scenario.check
    scenario = replace(
        scenario,
        check=replace(
            check, write_outage_s=check.write_outage_s * scale, read_outage_s=check.read_outage_s * scale
        ),
    )
    told: list[str] = []
    outcome = asyncio.run(Play(world, scenario, SEED, told.append).run())
    print("\n".join([*told, *report(outcome)]))  # noqa: T201 - the seed and what was done, for whoever reads a failure
    assert outcome.faults == ()
    assert len(outcome.injected) == sum(fault.times for fault in scenario.faults)
    assert outcome.acked > 500
    assert outcome.changes > 500


def test_parts_that_are_killed_one_after_the_other_lose_nothing(world, scale):
    (scenario,) = chosen((SHORT,))
    play(world, scenario, scale)


@pytest.mark.long
@pytest.mark.parametrize(
    "scenario", [one for one in chosen(()) if one.name != SHORT], ids=lambda one: one.name
)
def test_nothing_is_lost_twice_or_out_of_order(world, scale, scenario):
    play(world, scenario, scale)


def of_folder(folder: Path) -> list[psutil.Process]:
    """Return the processes whose temporary files go there."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR") == str(folder):
                found.append(process)
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("scenario", "fault", "numbers"),
    [
        ("node-kill", "node-kill: node", [signal.SIGINT]),
        ("node-kill", "node-kill: node", [signal.SIGTERM]),
        ("node-kill", "node-kill: node", [signal.SIGHUP]),
        ("full-disk", "nats-full-disk: nats-servers", [signal.SIGINT, signal.SIGINT]),
    ],
    ids=["Ctrl-C", "SIGTERM", "its terminal is closed", "Ctrl-C twice, and a disk is mounted"],
)
def test_whoever_ends_it_in_between_finds_nothing_left(scenario, fault, numbers):
    with tempfile.TemporaryDirectory(prefix="cx-") as name:  # a short path, for Ray's sockets
        folder = Path(name)
        process = subprocess.Popen(
            [sys.executable, "-m", "flux_actors", "chaos", scenario, "--seed", "1"],
            env=clean_environment() | {"TMPDIR": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(fault in line for line in lines)
        assert len(of_folder(folder)) > 10
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.2)  # as a hand does it
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "ended before all was played; nothing of it is left"
        assert of_folder(folder) == []
        assert list(folder.iterdir()) == []
