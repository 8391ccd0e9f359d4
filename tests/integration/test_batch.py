"""Batch jobs on a real Flux: the example of docs/batch.md, and what a prefix, times and positions leave."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tests.integration.sessions import ROOT

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
ROOMS, BEFORE, AFTER = 50, 2_000, 3_000
_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Runs behind the example, in the same process.
RANGES = """
def count(prefix, **between):
    return ray.data.read_datasource(flux.FluxHistory(prefix, **between)).count()

middle = "{middle}"
assert count("{space}/") == {before} + {after}
assert count("{space}/", until=middle) == {before}
assert count("{space}/", since=middle) == {after}
assert count("{space}/07") == ({before} + {after}) // {rooms}
assert count("{space}/", since=history.through) == 0
assert sink.written.events == {rooms}
"""


def publish(api, space, count):
    """Publish readings: of each room the same number, a degree warmer each time."""
    for first in range(0, count, 1_000):
        events = [
            {
                "stream": "sensors",
                "source": "test",
                "payload": {
                    "entity_id": f"{space}/{number % ROOMS:02}",
                    "properties": {"celsius": number // ROOMS},
                },
            }
            for number in range(first, first + 1_000)
        ]
        api.post("/api/events/batch?wait=applied", json={"events": events}).raise_for_status()


def test_the_example_and_ranges(flux, api, namespace, eventually):
    (example,) = _EXAMPLE.findall((ROOT / "docs" / "batch.md").read_text())
    begin = datetime.now(UTC)
    publish(api, namespace, BEFORE)
    middle = datetime.now(UTC)
    publish(api, namespace, AFTER)
    publish(api, f"{namespace}x", 1_000)  # of no concern
    code = example.replace("building/", f"{namespace}/").replace("reports/", f"{namespace}r/")
    code = code.replace("2026-01-31T00:00:00Z", begin.isoformat())
    facts = {"space": namespace, "before": BEFORE, "after": AFTER, "rooms": ROOMS}
    flux.as_driver(code + RANGES.format(middle=middle.isoformat(), **facts), timeout_s=200)

    def reports():
        return api.get("/api/state/entities", params={"namespace": f"{namespace}r"}).json()

    eventually(lambda: len(reports()) == ROOMS)
    found = reports()
    each, sums = (BEFORE + AFTER) // ROOMS, sum(range(BEFORE // ROOMS)) + sum(range(AFTER // ROOMS))
    assert {one["id"] for one in found} == {f"{namespace}r/{namespace}/{room:02}" for room in range(ROOMS)}
    told = {"readings": each, "celsius": sums / each}
    assert all(one["properties"] == told for one in found)
