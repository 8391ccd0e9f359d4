"""Where nothing is traced, nothing of it is loaded."""

from __future__ import annotations

import subprocess
import sys

from flux_actors.tracing.opening import opened
from flux_actors.tracing.plan import TracePlan

PARTS = "flux_api.door, flux_api.app, flux_api.deployment, flux_actors.shard.actor"
OURS = "('flux_actors.tracing.traces', 'flux_actors.shard.tracing', 'flux_api.tracing')"


def test_without_a_plan_there_are_none():
    assert opened(None, "door", "door-1") is None


def test_with_a_plan_there_are_some(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    traces = opened(TracePlan((("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),)), "door", "door-1")
    assert traces is not None
    traces.close()


def test_a_door_and_a_shard_load_nothing_of_it():
    code = f"import sys, {PARTS}\nassert not [name for name in sys.modules if name.startswith({OURS})]"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
