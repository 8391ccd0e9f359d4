"""An entity's raw events over the app."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import httpx
import pytest

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.domain.position import pack, text_of
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.succession import Succession
from flux_actors.router.topology import LogRegistry
from flux_api.app import build_app
from tests.unit.api.standing import PARTITIONS, Standing, event


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
    for number in range(3):
        await standing.publish(event("n/e", {"v": number}))
    standing.log.away = True
    assert (await client.get("/api/events?entity=n/e")).status_code == 503
    standing.log.away = False
    assert (await client.get("/api/events?entity=n/e")).status_code == 200
    standing.log.lose(standing.door.partitioning.of_entity("n/e"), 2)
    lost = await client.get("/api/events?entity=n/e")
    assert (lost.status_code, list(lost.json())) == (503, ["error"])


async def test_a_history_is_turned_over_page_by_page_whatever_comes_meanwhile(client, standing):
    for number in range(7):
        await standing.publish(event("n/e", {"v": number}))
    found, link = [], "/api/events?entity=n/e&limit=3"
    while link:
        page = await client.get(link)
        found.append([item["payload"]["properties"]["v"] for item in page.json()])
        link = page.headers.get("link", "<>").partition(">")[0][1:]
        await standing.publish(event("n/e", {"v": 99}))
    assert found == [[6, 5, 4], [3, 2, 1], [0]]
    assert "flux-history-from" not in page.headers


async def test_the_next_page_begins_a_day_before_the_first_one_was_asked_for(client, standing, monkeypatch):
    await standing.publish(*(event("n/e", {"v": number}) for number in range(4)))
    page = await client.get("/api/events?entity=n/e&limit=2")
    link = page.headers["link"].partition(">")[0][1:]
    monkeypatch.setattr(limits, "history_default_s", 0)
    assert (await client.get("/api/events?entity=n/e")).json() == []
    assert len((await client.get(link)).json()) == 2
    assert page.headers["link"].endswith('>; rel="next"')


async def test_where_positions_end_is_told(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(history_positions=3)
    app = build_app(standing.door.settings, standing.door)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux") as client:
        for number in range(5):
            await standing.publish(event("n/e", {"v": number}))
            if number < 2:
                assert "flux-history-from" not in (await client.get("/api/events?entity=n/e")).headers
        kept, _ = await standing.door.past.kept(standing.door.partitioning.of_entity("n/e"), "n/e")
        oldest = iso_of(kept[-1][1])
        for query, told in (({}, True), ({"limit": 1}, True), ({"since": iso_of(kept[-1][1] + 1)}, False)):
            answer = await client.get("/api/events", params={"entity": "n/e"} | query)
            assert (answer.headers.get("flux-history-from") == oldest) is told, query
    await standing.down()


async def test_where_the_log_was_trimmed_is_told_and_no_fault(client, standing):
    for number in range(5):
        await standing.publish(event("n/e", {"v": number}))
    partition = standing.door.partitioning.of_entity("n/e")
    kept, _ = await standing.door.past.kept(partition, "n/e")
    standing.log.trim(partition, 4)
    page = await client.get("/api/events?entity=n/e&limit=1")
    assert "flux-history-from" not in page.headers  # it does not know yet, and leads on
    rest = await client.get(page.headers["link"].partition(">")[0][1:].replace("limit=1", "limit=4"))
    assert [item["payload"]["properties"]["v"] for item in rest.json()] == [3]
    assert (rest.headers["flux-history-from"], "link" in rest.headers) == (iso_of(kept[1][1]), False)
    standing.log.trim(partition, 6)
    gone = await client.get("/api/events?entity=n/e")
    assert (gone.status_code, gone.json()) == (200, [])
    assert gone.headers["flux-history-from"] == iso_of(kept[0][1] + 1)


@pytest.mark.parametrize("cursor", ["", "x", "bi9l", "OS4xLjA", "MS4xLjA"])
async def test_a_cursor_is_one_that_a_page_of_the_entity_gave(client, standing, cursor):
    """Among them an entity's id, a position of no partition, and one of another partition."""
    partition_of = standing.door.partitioning.of_entity
    entity = next(name for name in ("n/e", "m/e", "l/e", "k/e") if partition_of(name) != 1)
    answer = await client.get("/api/events", params={"entity": entity, "cursor": cursor})
    assert answer.status_code == 400


async def test_a_cursor_of_before_the_log_was_repartitioned_is_gone(client, standing):
    await client.get("/api/events?entity=n/e")
    standing.door.succession = Succession(MemoryKeyValue(), LogRegistry("next", PARTITIONS, generation=2))
    cursor = urlsafe_b64encode(text_of(0, pack(5, 0)).encode()).decode().rstrip("=")
    answer = await client.get("/api/events", params={"entity": "n/e", "cursor": cursor})
    assert answer.status_code == 410
    assert "repartitioned" in answer.json()["error"]


async def test_the_history_of_a_name_begins_with_its_present_owner(tenants):
    standing = tenants.standing
    partition = standing.door.partitioning.of_entity("acme/x")
    last = (await standing.log.bounds(partition)).last
    await tenants.change("acme", lambda namespace: namespace.ended({partition: last}))
    await standing.door.tenancy.read()
    await standing.publish(event("acme/x", {"v": 2}))
    app = build_app(standing.door.settings, standing.door)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux") as client:
        answer = await client.get("/api/events?entity=acme/x&limit=1")
    assert [item["payload"]["properties"] for item in answer.json()] == [{"v": 2}]
    assert ("link" in answer.headers, "flux-history-from" in answer.headers) == (False, False)
