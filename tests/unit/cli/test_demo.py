"""`flux demo`: this machine, published to a small server that answers by the contract."""

from __future__ import annotations

import json
import signal

import pytest

from tests.unit.cli.commands import Run, assert_refused, started
from tests.unit.client.contract_server import ContractServer


def test_demo_publishes_this_machine_once(run: Run, flux: ContractServer) -> None:
    flux.entities = {"demo/box/process/0": {"name": "left by an earlier demo"}, "demo/other/cpu": {}}
    result = run("demo", "--once", "--name", "box", "--top", "2")
    assert result.exit_code == 0, result.output
    names = {entity_id.split("/")[2] for entity_id in flux.entities if entity_id.startswith("demo/box/")}
    assert names >= {"cpu", "memory", "disk", "network", "process"}
    processes = [entity_id for entity_id in flux.entities if entity_id.startswith("demo/box/process/")]
    assert len(processes) == 2
    assert "demo/box/process/0" not in flux.entities
    assert "demo/other/cpu" in flux.entities
    assert flux.entities["demo/box/memory"]["total_bytes"] > 0
    assert [request.path for request in flux.requests] == ["/api/state/entities", "/api/events/batch"]


def test_demo_can_clean_up(run: Run, flux: ContractServer) -> None:
    flux.entities = {"world/other/cpu": {}}
    result = run("demo", "--once", "--clean", "--namespace", "world", "--name", "a box")
    assert result.stdout.endswith("deleted all under world/a-box/\n")
    assert list(flux.entities) == ["world/other/cpu"]
    assert len(flux.events) >= 4


def test_demo_stops_when_its_first_events_are_refused(run: Run, flux: ContractServer) -> None:
    refused = {"eventId": None, "stream": "demo", "error": "send the token of demo"}
    flux.answer_with(200, b"[]")
    flux.answer_with(200, json.dumps({"successful": 0, "failed": 1, "results": [refused]}).encode())
    assert_refused(run("demo", "--once"), "send the token of demo")


@pytest.mark.parametrize(("clean", "number"), [([], signal.SIGINT), (["--clean"], signal.SIGTERM)])
def test_demo_runs_until_a_signal_and_outlasts_trouble(
    flux: ContractServer, clean: list[str], number: signal.Signals
) -> None:
    with started("demo", "--every", "0.05", "--name", "box", *clean, FLUX_URL=flux.url) as process:
        flux.wait_for_requests(3)
        flux.answer_with(503, b'{"error": "the log is away"}', times=3)
        flux.wait_for_requests(len(flux.requests) + 6)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == "flux: the log is away; trying again\n"
    assert ("demo/box/cpu" in flux.entities) is not bool(clean)
    assert ("deleted all under demo/box/" in out) is bool(clean)
    assert all(request.json["events"] for request in flux.requests if request.path == "/api/events/batch")
