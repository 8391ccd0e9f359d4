"""Probes and status over the app."""

from __future__ import annotations

import os

from flux_actors import __version__
from tests.unit.api.standing import event


async def test_all_is_well(client):
    answer = await client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "partitions": {"ready": 3, "recovering": 0},
        "lag": 0,
        "version": __version__,
    }
    assert (await client.get("/api/ready")).status_code == 200
    assert (await client.get("/api/live")).status_code == 200
    assert (await client.head("/api/health")).status_code == 200


async def test_a_partition_that_is_away_is_told_and_the_door_lives_on(client, standing):
    standing.bus.drop = 1_000_000
    standing.door.feeds.parts[1].heard_at -= 10
    answer = await client.get("/api/health")
    assert (answer.status_code, answer.json()["partitions"]) == (503, {"ready": 2, "recovering": 1})
    ready = await client.get("/api/ready")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
    assert (await client.get("/api/live")).status_code == 200


async def test_the_status_tells_of_every_partition_and_this_door(client, standing):
    await standing.publish(event("n/e", {"v": 1}))
    body = (await client.get("/api/status")).json()
    assert (body["version"], body["doors"], body["door"]["pid"]) == (__version__, 1, os.getpid())
    assert [part["partition"] for part in body["partitions"]] == [0, 1, 2]
    assert sum(part["entities"] for part in body["partitions"]) == 1
    assert {part["shard"] for part in body["partitions"]} == {"shard"}
