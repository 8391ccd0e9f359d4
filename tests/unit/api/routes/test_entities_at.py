"""Entities and lists as they were, over the app."""

from __future__ import annotations

from datetime import datetime, timedelta

import httpx
import pytest

from flux_actors import limits
from flux_actors.domain.position import text_of
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.past.orders import EntityOrder
from flux_actors.router.succession import Succession
from flux_actors.router.topology import LogRegistry
from flux_actors.tenancy.principal import ANYONE
from flux_api.app import build_app
from tests.unit.api.standing import PARTITIONS, Standing, event
from tests.unit.api.tenants import ADMIN_TOKEN, Tenants

ENTITIES = "/api/state/entities"
DELETED = {"__deleted__": True}


@pytest.fixture
async def lamp(client, standing):
    """Publish a life of `n/lamp` and return `(position, entity)` behind each of its events."""
    found = []
    for properties in ({"on": True, "level": 1}, {"level": 2}, DELETED, {"color": "red"}):
        done = await standing.door.publisher.publish(event("n/lamp", properties), ANYONE)
        await standing.door.reached({done.partition: done.position}, (done.partition,))
        answer = await client.get(f"{ENTITIES}/n/lamp")
        found.append((text_of(done.partition, done.position), answer))
    return found


@pytest.fixture
async def tenants_client(tenants):
    async with client_of(tenants.standing) as client:
        yield client


def client_of(standing):
    app = build_app(standing.door.settings, standing.door)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://flux")


def place(answer):
    return (answer.status_code, answer.json(), answer.headers.get("etag"))


@pytest.fixture(params=["its own events", "the whole partition"])
def way(request, standing):
    """Both ways to an entity's past: they tell the same."""
    if request.param == "the whole partition":
        standing.door.past.complete_below = 0
    return request.param


async def test_an_entity_is_told_as_it_was_at_each_position(client, lamp, way):
    for position, then in lamp:
        assert place(await client.get(f"{ENTITIES}/n/lamp", params={"at": position})) == place(then)
        assert place(await client.get(f"{ENTITIES}/n/lamp", params={"at": f'"{position}"'})) == place(then)
    assert (await client.head(f"{ENTITIES}/n/lamp", params={"at": lamp[2][0]})).status_code == 404


async def test_an_entity_is_told_as_it_was_at_each_time(client, lamp, way):
    for number in (0, 1, 3):
        then = lamp[number][1]
        at = then.json()["lastUpdated"]
        assert place(await client.get(f"{ENTITIES}/n/lamp", params={"at": at})) == place(then)
    before = datetime.fromisoformat(lamp[0][1].json()["lastUpdated"]) - timedelta(microseconds=1)
    for at in (before.isoformat(), "1990-01-01T00:00:00Z"):
        assert (await client.get(f"{ENTITIES}/n/lamp", params={"at": at})).status_code == 404
    assert (await client.get(f"{ENTITIES}/n/never", params={"at": at})).status_code == 404


async def test_a_time_to_come_is_the_present(client, lamp, monkeypatch, standing):
    monkeypatch.setattr(standing.door, "past", None)
    now = await client.get(f"{ENTITIES}/n/lamp", params={"at": "2999-01-01T00:00:00Z"})
    assert place(now) == place(lamp[-1][1])
    listed = await client.get(ENTITIES, params={"prefix": "n/", "at": "2999-01-01T00:00:00Z"})
    assert listed.json() == [now.json()]


async def test_an_entity_has_the_etag_that_it_had(client, lamp):
    position, then = lamp[0]
    asked = {"at": position}
    known = {"If-None-Match": then.headers["etag"]}
    fresh = await client.get(f"{ENTITIES}/n/lamp", params=asked, headers=known)
    assert (fresh.status_code, fresh.content) == (304, b"")
    now = lamp[3][1].headers["etag"]
    assert (
        await client.get(f"{ENTITIES}/n/lamp", params=asked, headers={"If-None-Match": now})
    ).status_code == 200


async def test_events_that_change_nothing_leave_the_entity_as_it_was(client, standing, way):
    await standing.publish(event("n/e", {"v": 1}), event("n/e"), event("n/e", {}), event("n/none", DELETED))
    answer = await client.get(f"{ENTITIES}/n/e")
    then = await client.get(f"{ENTITIES}/n/e", params={"at": "2999-01-01T00:00:00Z"})
    assert place(then) == place(answer)
    partition = standing.door.partitioning.of_entity("n/e")
    last = f"{partition}.{standing.door.feeds.parts[partition].sequence}.3"
    assert place(await client.get(f"{ENTITIES}/n/e", params={"at": last})) == place(answer)
    assert (await client.get(f"{ENTITIES}/n/none", params={"at": last})).status_code == 404


async def test_fields_project_the_present_and_the_past(client, lamp):
    for extra in ({}, {"at": lamp[1][0]}):
        answer = await client.get(f"{ENTITIES}/n/lamp", params={"fields": "level,color,no"} | extra)
        expected = {"level": 2} if extra else {"color": "red"}
        assert answer.json()["properties"] == expected
    bad = await client.get(f"{ENTITIES}/n/lamp", params={"fields": "a,,b"})
    assert (bad.status_code, "fields" in bad.json()["error"]) == (400, True)


@pytest.mark.parametrize("at", ["", "yesterday", "2026-01-31", "1700000000", "9.1.0", "0.1", "T", "0.1.0~x"])
async def test_an_at_that_is_no_moment_is_refused(client, at):
    for path in (f"{ENTITIES}/n/e", ENTITIES):
        answer = await client.get(path, params={"at": at})
        assert (answer.status_code, "at must be an RFC 3339 time" in answer.json()["error"]) == (400, True)


async def test_a_position_of_another_partition_says_nothing(client, standing, lamp):
    other = (standing.door.partitioning.of_entity("n/lamp") + 1) % 3
    answer = await client.get(f"{ENTITIES}/n/lamp", params={"at": f"{other}.1.0"})
    assert (answer.status_code, "another partition" in answer.json()["error"]) == (400, True)
    everything = await client.get(ENTITIES, params={"at": lamp[0][0]})
    assert (everything.status_code, "another partition" in everything.json()["error"]) == (400, True)


async def test_a_position_that_is_not_there_yet_is_waited_for(client, standing, lamp):
    standing.hurry()
    partition = lamp[0][0].partition(".")[0]
    answer = await client.get(f"{ENTITIES}/n/lamp", params={"at": f"{partition}.999.0"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_past_that_was_trimmed_is_410(client, standing, lamp):
    partition = standing.door.partitioning.of_entity("n/lamp")
    standing.log.trim(partition, 3)
    gone = await client.get(f"{ENTITIES}/n/lamp", params={"at": lamp[0][0]})
    assert (gone.status_code, "was trimmed" in gone.json()["error"]) == (410, True)
    listed = await client.get(ENTITIES, params={"prefix": "n/", "at": lamp[0][0]})
    assert (listed.status_code, "was trimmed" in listed.json()["error"]) == (410, True)


@pytest.mark.parametrize(("kept", "folded"), [(2, True), (4, True), (5, False)])
async def test_an_entity_with_more_events_than_are_kept_is_folded_from_the_log(monkeypatch, kept, folded):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(history_positions=kept)
    for number in range(4):
        await standing.publish(event("n/e", {f"p{number}": number}))
    asked = []
    answer_of = standing.door.past.folds.answer

    async def noting(order):
        asked.append(order)
        return await answer_of(order)

    monkeypatch.setattr(standing.door.past.folds, "answer", noting)
    partition = standing.door.partitioning.of_entity("n/e")
    async with client_of(standing) as client:
        then = await client.get(f"{ENTITIES}/n/e", params={"at": f"{partition}.3.0"})
    assert then.json()["properties"] == {"p0": 0, "p1": 1, "p2": 2}
    assert [type(order) for order in asked] == [EntityOrder] * folded
    await standing.down()


async def test_lists_are_told_as_they_were(client, standing):
    await standing.publish(*(event(f"wide/{n}", {"v": n, "w": 0}) for n in range(6)))
    then = await client.get(ENTITIES, params={"prefix": "wide/"})
    at = max(entity["lastUpdated"] for entity in then.json())
    await standing.publish(event("wide/1", DELETED), event("wide/2", {"v": 9}), event("wide/9", {"v": 9}))
    asked = {"prefix": "wide/", "at": at}
    answer = await client.get(ENTITIES, params=asked)
    assert (answer.json(), answer.headers["content-type"]) == (then.json(), "application/json")
    assert (await client.get(ENTITIES, params={"namespace": "wide", "at": at})).json() == then.json()
    lines = await client.get(ENTITIES, params=asked, headers={"Accept": "application/x-ndjson"})
    assert len(lines.text.splitlines()) == 6
    some = await client.get(ENTITIES, params=asked | {"where": "v > 3", "fields": "v"})
    assert [entity["properties"] for entity in some.json()] == [{"v": 4}, {"v": 5}]
    assert (await client.get(ENTITIES, params=asked | {"count": "true"})).json() == {"count": 6}
    counted = await client.head(ENTITIES, params=asked | {"where": "v > 3"})
    assert counted.headers["flux-count"] == "2"
    first = await client.get(ENTITIES, params=asked | {"limit": 4})
    second = await client.get(first.headers["link"].partition(">")[0][1:])
    assert first.json() + second.json() == then.json()
    assert (len(first.json()), "link" in second.headers) == (4, False)
    assert (await client.get(ENTITIES, params={"prefix": "none/", "at": at})).json() == []


async def test_private_entities_are_hidden_in_the_past_as_well(tenants, tenants_client):
    standing = tenants.standing
    partition = standing.door.partitioning.of_entity("vault/x")
    at = f"{partition}.{standing.door.feeds.parts[partition].sequence}.3999"
    client = tenants_client
    for kind in ("none", "wrong", "other", "admin", "expired"):
        headers = tenants.headers(kind)
        answer = await client.get(f"{ENTITIES}/vault/x", params={"at": at}, headers=headers)
        assert answer.status_code == 404, kind
        listed = await client.get(ENTITIES, params={"prefix": "vault/", "at": at}, headers=headers)
        assert listed.json() == [], kind
    for kind, ids in (("main", ["vault/kitchen/x", "vault/x", "vault/y"]), ("prefix", ["vault/kitchen/x"])):
        params = {"prefix": "vault/", "at": at}
        listed = await client.get(ENTITIES, params=params, headers=tenants.headers(kind))
        assert [entity["id"] for entity in listed.json()] == ids
        counted = await client.get(ENTITIES, params=params | {"count": "1"}, headers=tenants.headers(kind))
        assert counted.json() == {"count": len(ids)}


@pytest.mark.parametrize("complete_below", [0, 500])
async def test_the_past_of_earlier_owners_of_a_name_is_never_told(tenants, tenants_client, complete_below):
    standing, client = tenants.standing, tenants_client
    standing.door.past.complete_below = complete_below
    partition = standing.door.partitioning.of_entity("acme/x")
    theirs = (await client.get(f"{ENTITIES}/acme/x")).json()["lastUpdated"]
    await standing.publish(event("acme/x", DELETED))
    last = (await standing.log.bounds(partition)).last
    await tenants.change("acme", lambda namespace: namespace.ended({partition: last}))
    await standing.door.tenancy.read()
    await standing.publish(event("acme/x", {"v": 2}))
    for at in (theirs, f"{partition}.1.0", f"{partition}.{last}.0"):
        assert (await client.get(f"{ENTITIES}/acme/x", params={"at": at})).status_code == 404
    listed = await client.get(ENTITIES, params={"prefix": "acme/", "at": theirs})
    assert (listed.status_code, listed.json()) == (200, [])
    mine = await client.get(f"{ENTITIES}/acme/x", params={"at": f"{partition}.{last + 1}.0"})
    assert mine.json()["properties"] == {"v": 2}


async def test_a_fold_that_reaches_an_earlier_owner_tells_nothing_of_theirs(monkeypatch):
    """Their events are not among the kept ones any more, so only the fold could tell of them."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True, admin_token=ADMIN_TOKEN, history_positions=2)
    tenants = await Tenants.settle(standing)
    partition = standing.door.partitioning.of_entity("acme/x")
    last = (await standing.log.bounds(partition)).last
    await tenants.change("acme", lambda namespace: namespace.ended({partition: last}))
    await standing.door.tenancy.read()
    for number in range(5):
        await standing.publish(event("acme/x", {"n": number}))
    async with client_of(standing) as client:
        theirs = await client.get(f"{ENTITIES}/acme/x", params={"at": f"{partition}.{last}.3999"})
        mine = await client.get(f"{ENTITIES}/acme/x", params={"at": f"{partition}.{last + 1}.0"})
    assert (theirs.status_code, mine.json()["properties"]["n"]) == (404, 0)
    await standing.down()


async def test_an_atomic_batch_is_at_one_position(client):
    for coins in (100, 60):
        bodies = [
            event("n/plain", {"coins": coins}),
            event("n/from", {"coins": coins}),
            event("n/to", {"coins": 100 - coins}),
        ]
        await client.post("/api/events/batch?wait=applied", json=bodies[:1])
        await client.post("/api/events/batch?atomic=true&wait=applied", json=bodies[1:])
    for entity_id, expected in (("n/plain", (100, 0)), ("n/from", (60, 40)), ("n/to", (60, 40))):
        etag = (await client.get(f"/api/state/entities/{entity_id}")).headers["etag"].strip('"')
        at = {"at": etag}
        listed = (await client.get("/api/state/entities", params={"namespace": "n"} | at)).json()
        alone = [(await client.get(f"/api/state/entities/{i}", params=at)).json() for i in ("n/from", "n/to")]
        assert tuple(one["properties"]["coins"] for one in alone) == expected
        assert [one for one in listed if one["id"] != "n/plain"] == alone


async def test_a_position_of_before_the_log_was_repartitioned_is_gone(client, standing):
    standing.door.succession = Succession(MemoryKeyValue(), LogRegistry("next", PARTITIONS, generation=2))
    for path in ("/api/state/entities/n/e", "/api/state/entities?namespace=n"):
        answer = await client.get(path, params={"at": "0.5.0"} | ({"namespace": "n"} if "?" in path else {}))
        assert answer.status_code == 410
        assert "ask for a time" in answer.json()["error"]
