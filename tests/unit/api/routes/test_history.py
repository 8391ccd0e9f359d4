"""An entity's raw events over the app."""

from __future__ import annotations

import pytest

from tests.unit.api.standing import event


async def test_history_is_exactly_the_newest_events_tombstones_included(client, standing):
    for number in range(5):
        body = {"__deleted__": True} if number == 3 else {"v": number}
        await standing.publish(event("n/e", body, eventId=f"event-{number}"), event("n/other", {"v": number}))
    answer = await client.get("/api/events", params={"entity": "n/e", "limit": 3})
    assert [item["eventId"] for item in answer.json()] == ["event-4", "event-3", "event-2"]
    assert answer.json()[1]["payload"]["properties"] == {"__deleted__": True}
    everything = await client.get("/api/events", params={"entity": "n/e"})
    assert len(everything.json()) == 5


async def test_history_goes_by_the_logs_clock(client, standing):
    await standing.publish(event("n/e", {"v": 1}, timestamp=1))
    entity = (await client.get("/api/state/entities/n/e")).json()
    at = entity["lastUpdated"]
    for bounds, count in (
        ({"since": at}, 1),
        ({"until": at}, 0),
        ({"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}, 1),
        ({"since": "2100-01-01T00:00:00Z"}, 0),
    ):
        answer = await client.get("/api/events", params={"entity": "n/e"} | bounds)
        assert len(answer.json()) == count, bounds


@pytest.mark.parametrize(("limit", "count"), [("0", 1), ("-5", 1), ("2", 2), ("9999", 3)])
async def test_limits_of_a_history_are_clamped(client, standing, limit, count):
    await standing.publish(*(event("n/e", {"v": number}) for number in range(3)))
    answer = await client.get("/api/events", params={"entity": "n/e", "limit": limit})
    assert len(answer.json()) == count


async def test_an_unknown_entity_has_no_history(client):
    answer = await client.get("/api/events", params={"entity": "n/never"})
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    "query",
    ["", "entity=", "entity=n/e&since=yesterday", "entity=n/e&until=2026-01-01", "entity=n/e&limit=many"],
)
async def test_a_history_that_cannot_be_told_is_refused(client, query):
    assert (await client.get(f"/api/events?{query}")).status_code == 400


async def test_a_log_that_is_away_or_lost_a_block_is_503(client, standing):
    await standing.publish(event("n/e", {"v": 1}))
    standing.log.away = True
    assert (await client.get("/api/events?entity=n/e")).status_code == 503
    standing.log.away = False
    assert (await client.get("/api/events?entity=n/e")).status_code == 200
    for partition in standing.door.partitioning.all():
        standing.log.trim(partition, 2)
    lost = await client.get("/api/events?entity=n/e")
    assert (lost.status_code, list(lost.json())) == (503, ["error"])
