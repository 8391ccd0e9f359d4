"""Claims over the app: one holder at a time, a token that only grows, and everybody is told who has it."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.shard.expiring import Expirer
from flux_api.cached import CachedEntity
from tests.unit.api.standing import event

TASK = "work/task"


@pytest.fixture
def take(client):
    async def take(holder, ttl_ms=60_000, **more):
        body = {"entity_id": TASK, "holder": holder, "ttl_ms": ttl_ms} | more
        return await client.post("/api/claims", json=body)

    return take


@pytest.fixture
def release(client):
    async def release(holder, **more):
        return await client.delete("/api/claims", params={"entity_id": TASK, "holder": holder} | more)

    return release


async def shown(client):
    return (await client.get(f"/api/state/entities/{TASK}")).json()["properties"]["claim"]


async def test_the_first_gets_it_and_the_others_are_told_who_has_it(client, take):
    answer = await take("me")
    claim = answer.json()
    assert (answer.status_code, claim["entity_id"], claim["holder"]) == (200, TASK, "me")
    refused = await take("you")
    assert (refused.status_code, refused.json()["holder"]) == (409, "me")
    assert refused.json()["claim"]["token"] == claim["token"]
    assert "claimed by me" in refused.json()["error"]
    assert await shown(client) == {name: claim[name] for name in ("holder", "token", "expires_at")}


async def test_of_many_who_come_at_once_one_gets_it(take):
    answers = await asyncio.gather(*(take(f"worker-{number}") for number in range(20)))
    winners = [answer.json()["holder"] for answer in answers if answer.status_code == 200]
    assert len(winners) == 1
    assert {a.json()["holder"] for a in answers} == set(winners)


async def test_the_holder_renews_with_its_token_or_without(take):
    first = (await take("me", 30_000)).json()
    for more in ({}, {"token": first["token"]}):
        renewed = (await take("me", 60_000, **more)).json()
        assert renewed["token"] == first["token"]
        assert renewed["expires_at"] > first["expires_at"]


async def test_a_released_claim_is_free_and_the_next_token_is_greater(take, release):
    first = (await take("me")).json()["token"]
    assert (await release("me", token=first)).json()["released"] is True
    assert (await release("me")).json()["released"] is False
    second = (await take("you")).json()["token"]
    assert second > first
    late = await take("me", token=first)
    assert (late.status_code, late.json()["holder"]) == (409, "you")


async def test_nobody_releases_the_claim_of_another(take, release):
    token = (await take("me")).json()["token"]
    for more in ({}, {"token": token}):
        answer = await release("you", **more)
        assert (answer.status_code, answer.json()["holder"]) == (409, "me")
    wrong = await release("me", token=token + 1)
    assert (wrong.status_code, wrong.json()["holder"]) == (409, "me")


async def test_a_door_that_has_not_heard_yet_who_has_it_lets_it_go_for_him(
    client, take, release, standing, monkeypatch
):
    await take("me")
    asked, get = [], standing.door.view.get

    async def late(entity_id):
        asked.append(entity_id)
        return await get(entity_id) if len(asked) > 1 else CachedEntity.of(entity_id, 0, -1, None)

    monkeypatch.setattr(standing.door.view, "get", late)
    answer = await release("me")
    assert (answer.status_code, answer.json()["released"]) == (200, True)
    assert await shown(client) is None


async def test_a_claim_that_has_run_out_is_free_already(client, take, release, monkeypatch):
    monkeypatch.setattr(Expirer, "step", lambda *_: None)
    await take("me", 1)
    await asyncio.sleep(0.002)
    answer = await release("me")
    assert (answer.status_code, answer.json()["released"]) == (200, False)
    assert (await shown(client))["holder"] == "me"


async def test_a_claim_runs_out_by_itself(client, take):
    first = (await take("me", 1_500)).json()["token"]
    async with asyncio.timeout(5):
        while (await take("you", 60_000)).status_code == 409:  # noqa: ASYNC110 - time has to pass
            await asyncio.sleep(0.005)
    renewed = await take("me", token=first)
    assert (renewed.status_code, renewed.json()["holder"]) == (409, "you")


async def test_a_claim_that_is_over_before_it_can_be_told_is_no_claim(client, take):
    for _ in range(20):
        answer = await take("me", 1)
        assert answer.status_code in (200, 409)
        if answer.status_code == 409:
            assert answer.json()["holder"] is None
            assert "no claim" in answer.json()["error"]


async def test_it_becomes_null_when_nobody_takes_it(client, take):
    await take("me", 40)
    async with asyncio.timeout(5):
        while await shown(client) is not None:  # noqa: ASYNC110 - time has to pass
            await asyncio.sleep(0.005)


async def test_a_claim_sent_again_under_its_event_id_is_the_same(take):
    first = (await take("me", eventId="mine")).json()
    assert (await take("me", eventId="mine")).json() == first


async def test_a_claim_that_is_over_is_not_taken_again_by_the_event_that_took_it(take, release):
    await take("me", eventId="mine")
    await release("me")
    again = await take("me", eventId="mine")
    assert (again.status_code, again.json()["holder"]) == (409, None)
    assert (await take("me", eventId="another")).status_code == 200


async def test_a_claim_leaves_the_other_properties_and_is_in_the_history(client, take):
    await client.post("/api/events", json=event(TASK, {"todo": "sweep"}))
    await take("me")
    entity = (await client.get(f"/api/state/entities/{TASK}")).json()
    assert entity["properties"].keys() == {"todo", "claim"}
    (newest, _) = (await client.get("/api/events", params={"entity": TASK})).json()
    assert (newest["stream"], newest["payload"]["claim"]["holder"]) == ("flux.claim", "me")


async def test_who_overwrites_the_property_ends_the_claim(client, take):
    await take("me")
    await client.post("/api/events?wait=applied", json=event(TASK, {"claim": "mine now"}))
    assert (await take("you")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"entity_id": TASK, "holder": "me"},
        {"entity_id": TASK, "holder": "me", "ttl_ms": 0},
        {"entity_id": TASK, "holder": "me", "ttl_ms": True},
        {"entity_id": TASK, "holder": "me", "ttl_ms": 1 << 60},
        {"entity_id": TASK, "holder": "", "ttl_ms": 1},
        {"entity_id": TASK, "holder": "m" * 256, "ttl_ms": 1},
        {"entity_id": TASK, "holder": 5, "ttl_ms": 1},
        {"entity_id": "", "holder": "me", "ttl_ms": 1},
        {"entity_id": TASK, "holder": "me", "ttl_ms": 1, "token": "5"},
        {"entity_id": TASK, "holder": "me", "ttl_ms": 1, "token": 1 << 70},
        {"entity_id": TASK, "holder": "me", "ttl_ms": 1, "eventId": ""},
    ],
)
async def test_what_is_no_claim_is_400(client, body):
    answer = await client.post("/api/claims", json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_what_releases_nothing_is_400(client):
    for params in ({}, {"entity_id": TASK}, {"entity_id": TASK, "holder": "me", "token": "x"}):
        assert (await client.delete("/api/claims", params=params)).status_code == 400


async def test_the_servers_own_entities_are_nobodys_to_claim(client):
    body = {"entity_id": "flux-core/directory", "holder": "me", "ttl_ms": 1}
    assert (await client.post("/api/claims", json=body)).status_code == 403
