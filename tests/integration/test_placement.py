"""Entities act alike in both placements, on the real engine; and what a process of its own is for."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flux_cluster.ray_head import ray_environment
from tests.conftest import RunningFlux, clean_environment
from tests.integration.placement_scenes import ANSWER

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
SCENES = "tests.integration.placement_scenes"
SECOND_NODE = "tests.integration.second_node"
Play = Callable[[str, str], None]


def begin(flux: RunningFlux, script: str, stderr: Any) -> subprocess.Popen[str]:
    """Run a module that may join the Ray of a Flux."""
    return subprocess.Popen(
        [sys.executable, "-m", script],
        cwd=ROOT,
        env=clean_environment()
        | ray_environment(flux.data.absolute() / "ray-token")
        | {"RAY_ADDRESS": flux.run.ray_address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


@pytest.fixture(scope="module")
def play(restartable_flux: RunningFlux, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """A driver that has joined the Flux and deployed the behaviours: `play(scene, placement)`."""
    errors = tmp_path_factory.mktemp("scenes") / "stderr"
    with errors.open("wb") as stderr:
        driver = begin(restartable_flux, SCENES, stderr)
    assert driver.stdin is not None
    assert driver.stdout is not None
    lines = driver.stdout

    def answer() -> str:
        for line in lines:
            if line.startswith(ANSWER):
                return line.removeprefix(ANSWER).strip()
        return repr(errors.read_text())

    def play(scene: str, placement: str) -> None:
        assert driver.stdin is not None
        driver.stdin.write(f"{scene} {placement}\n")
        driver.stdin.flush()
        fault = literal_eval(answer())
        assert not fault, fault

    with driver:
        try:
            assert not answer()
            yield play
        finally:
            driver.kill()


@pytest.mark.parametrize("placement", ["hosted", "dedicated"])
@pytest.mark.parametrize(
    "scene",
    ["effects", "order", "ask", "tell", "reminder", "faults", "stopping", "killing", "long_work", "shown"],
)
def test_entities_act_alike(play: Play, scene: str, placement: str) -> None:
    play(scene, placement)


@pytest.mark.parametrize("scene", ["named", "killed_from_outside", "pinning"])
def test_dedicated_actor(play: Play, scene: str) -> None:
    play(scene, "dedicated")


def test_dedicated_actor_that_idles_sleeps_and_is_woken_by_event_question_and_reminder(play: Play) -> None:
    play("passivation", "sleepy")


def test_dedicated_actor_without_room_is_told_and_holds_up_nobody(play: Play) -> None:
    play("no_room", "greedy")


def test_successor_of_a_dead_shard_takes_over_the_name_of_its_actors(play: Play) -> None:
    play("shard_dies", "dedicated")


@pytest.mark.long
def test_dedicated_actor_moves_between_nodes_and_from_one_that_is_gone(
    play: Play, restartable_flux: RunningFlux, tmp_path: Path
) -> None:
    errors = tmp_path / "stderr"
    with errors.open("wb") as stderr, begin(restartable_flux, SECOND_NODE, stderr) as node:
        try:
            assert node.stdout is not None
            assert "ready\n" in iter(node.stdout.readline, ""), errors.read_text()
            play("moving", "dedicated")
        finally:
            node.terminate()
    play("node_gone", "dedicated")
