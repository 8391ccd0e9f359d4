"""The programs of examples/ as a user starts them; what they did is read from Flux here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import RunningFlux, clean_environment
from tests.integration.sessions import ROOT

EXAMPLES = ROOT / "examples"
TASKS, AGENTS, KILLS = 2_000, 50, 10
ROOMS = 8

# LangGraph's own tests of a memory.
CONFORMANCE = """
import asyncio
import sys

from langgraph.checkpoint.conformance import checkpointer_test, validate

import flux_actors as flux
from flux_memory import FluxSaver

@checkpointer_test(name="Flux")
async def savers():
    yield FluxSaver(flux.connect(), sys.argv[1])

report = asyncio.run(validate(savers))
report.print_report()
sys.exit(not report.passed_all_base())
"""

pytestmark = pytest.mark.real


def run(flux: RunningFlux, *command: str, timeout_s: float) -> str:
    """Return what a program says that must end well."""
    done = subprocess.run(
        [sys.executable, *command],
        env=clean_environment() | {"FLUX_DATA": str(flux.data), "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def history(api, entity_id):
    """Return all events of an entity, oldest first."""
    answer = api.get("/api/events", params={"entity": entity_id, "limit": 500})
    return [event["payload"] for event in answer.raise_for_status().json()][::-1]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_agents_that_are_killed_do_each_task_once(flux, api, namespace):
    options = ["--board", namespace, "--agents", str(AGENTS), "--tasks", str(TASKS), "--kills", str(KILLS)]
    told = run(flux, str(EXAMPLES / "task_board.py"), *options, timeout_s=280)
    killed = {line.rpartition(" ")[2] for line in told.splitlines() if "; killed " in line}
    assert len(killed) == KILLS, told
    names = [f"{namespace}/task-{number:05}" for number in range(TASKS)]
    with ThreadPoolExecutor(4) as pool:
        stories = list(pool.map(lambda name: history(api, name), names))
    taken_over = 0
    for number, story in enumerate(stories):
        holders, completed = holders_and_completions(story)
        assert [done["result"] for done in completed] == [number**2 + 1]
        assert completed[0]["by"] == holders[-1]
        taken_over += any(holder in killed for holder in holders[:-1])
    assert taken_over > 0, told
    workers = {holders_and_completions(story)[0][-1] for story in stories}
    assert {worker.partition("/")[0] for worker in workers} == {f"agent-{one}" for one in range(AGENTS)}


def holders_and_completions(story):
    """Return who had the claim, up to when the task was done, and what was written as its result."""
    holders: list[str] = []
    completed = []
    for payload in story:
        claim, properties = payload.get("claim"), payload.get("properties") or {}
        if claim is not None and claim["verb"] == "acquire" and not completed:
            holders.append(claim["holder"])
        if properties.get("result") is not None:
            completed.append(properties)
    return holders, completed


@pytest.fixture
def without_behaviours(flux) -> Iterator[None]:
    """Leave no behaviour to the tests that follow."""
    yield
    flux.as_driver("import flux_actors\nflux_actors.remove('Thermostat')\nflux_actors.remove('Alarm')")


@pytest.mark.usefixtures("without_behaviours")
@pytest.mark.timeout(360)
def test_a_building_cools_what_is_warm_and_believes_no_sensor_alone(flux, api, namespace):
    run(flux, str(EXAMPLES / "building.py"), "--namespace", namespace, "--timeout-s", "140", timeout_s=290)
    listed = api.get("/api/state/entities", params={"namespace": namespace}).raise_for_status().json()
    entities = {one["id"]: one["properties"] for one in listed}
    celsius = {
        one.removesuffix("/sensor"): p["celsius"] for one, p in entities.items() if one.endswith("/sensor")
    }
    assert len(celsius) == 10_000
    running = {one.removesuffix("/fan") for one, p in entities.items() if one.endswith("/fan") and p["on"]}
    assert running == {room for room, degrees in celsius.items() if degrees > 26}
    raised = {
        one.removesuffix("/alarm"): p["raised"] for one, p in entities.items() if one.endswith("/alarm")
    }
    hot = {room for room, degrees in celsius.items() if degrees > 60}
    assert raised == {room: bool(hot & set(beside(room))) for room in hot}
    assert sorted(raised.values()) == [False] * 20 + [True] * 60
    faults = api.get("/api/state/entities", params={"prefix": f"flux-core/faults/{namespace}/"})
    assert faults.raise_for_status().json() == []


def beside(room):
    floor, number = room.rsplit("-", 1)
    return [f"{floor}-{int(number) - 1:02}", f"{floor}-{int(number) + 1:02}"]


@pytest.mark.timeout(240)
def test_an_agent_that_is_killed_remembers(flux, api, namespace):
    told = run(flux, str(EXAMPLES / "agent_memory.py"), "--world", namespace, "--think-s", "1", timeout_s=200)
    assert "WRONG" not in told
    answers = [line.rpartition("says: ")[2] for line in told.splitlines() if "says: " in line]
    assert answers[0] == answers[1] != answers[2]
    warmth = {f"room-{number:02}": 18 + number * 7 % 11 for number in range(ROOMS)}
    for thread in ("alone", "killed"):
        notes = api.get(f"/api/state/entities/{namespace}/notes/{thread}").raise_for_status().json()
        assert notes["properties"] == warmth
        written = [list(payload["properties"]) for payload in history(api, f"{namespace}/notes/{thread}")]
        assert written == [[room] for room in warmth]  # each once, though the agent has looked again
    alone, killed = (checkpoints(api, f"{namespace}-memory/{thread}/=") for thread in ("alone", "killed"))
    assert len(alone) == 2 * ROOMS + 3  # the task, each step, and before all
    assert len(killed) > len(alone)  # with the branches of the time travels


def checkpoints(api, entity_id):
    """Return the ids of the checkpoints of a thread."""
    return api.get(f"/api/state/entities/{entity_id}").raise_for_status().json()["properties"]


@pytest.mark.timeout(150)
def test_the_memory_passes_the_tests_of_langgraph(flux, namespace):
    told = run(flux, "-c", CONFORMANCE, namespace, timeout_s=120)
    assert "Flux" in told


@pytest.mark.parametrize("name", ["task_board", "building", "agent_memory"])
def test_help_tells_what_an_example_shows(name):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--help"]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert f"python examples/{name}.py" in done.stdout
