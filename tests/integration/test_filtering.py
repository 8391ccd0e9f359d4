"""A condition on many entities, in the time that the issue gives it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
ENTITIES = 200_000
BATCH = 5_000
BOUND_S = 0.5
WHERE = "temperature > 99.5 and on = true and exists(place.room)"


def event(number: int) -> dict[str, Any]:
    properties = {
        "temperature": number % 1_000 / 10,
        "on": number % 2 == 0,
        "place": {"room": f"room {number % 77}"},
    }
    payload = {"entity_id": f"wide/{number:06}", "properties": properties}
    return {"stream": "sensors", "source": "test", "payload": payload}


@pytest.mark.long
def test_200_000_entities_are_filtered_on_two_shards_in_half_a_second(make_flux):
    flux = make_flux(["--doors", "1", "--shards", "2"], {"FLUX_SPREAD": "wide"})
    flux.start()
    with httpx.Client(base_url=flux.url, timeout=60) as client:
        for first in range(0, ENTITIES, BATCH):
            bodies = [event(number) for number in range(first, first + BATCH)]
            answer = client.post("/api/events/batch?wait=applied", json=bodies)
            assert answer.json()["successful"] == BATCH
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            found = client.get("/api/state/entities", params={"namespace": "wide", "where": WHERE}).json()
            seconds.append(time.perf_counter() - began)
            assert len(found) == ENTITIES // 1_000 * 2
        assert sorted(seconds)[2] < BOUND_S
