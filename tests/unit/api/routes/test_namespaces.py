"""Namespaces over the app: made, looked at, deleted, and their names taken again."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity_id import AUDIT_ID
from flux_actors.errors import Unavailable
from flux_actors.tenancy.namespace import Phase
from flux_api.app import build_app
from flux_api.metrics import DoorBeat
from flux_api.routes import namespaces
from flux_api.tenancy import now_us
from tests.unit.api.routes.owners import (
    ADMIN,
    audit,
    bearer,
    client_of,
    owned,
    registered,
    token_of,
    written,
)
from tests.unit.api.standing import Standing, event, until

encode_beat = msgspec.msgpack.encode


@pytest.fixture
async def standing(monkeypatch):
    async with owned(monkeypatch) as standing:
        yield standing


@pytest.fixture
async def client(standing):
    async with client_of(standing) as client:
        yield client


@pytest.fixture
async def main(client):
    """The main token of `acme`."""
    return (await registered(client, "acme")).json()["token"]


async def test_one_that_is_made_has_an_id_and_a_token_that_writes(client):
    made = await registered(client, "acme")
    assert made.status_code == 200
    assert set(made.json()) == {"namespaceId", "name", "token"}
    assert made.json()["namespaceId"].startswith("ns_")
    assert await written(client, made.json()["token"], "acme/x") == 200


async def test_it_tells_its_true_count_and_no_token(client, main):
    before = now_us()
    for number in range(3):
        await written(client, main, f"acme/{number}")
    await client.delete("/api/state/entities/acme/1?wait=applied", headers=bearer(main))
    facts = (await client.get("/api/namespaces/acme")).json()
    assert set(facts) == {"namespaceId", "name", "createdAt", "entityCount"}
    assert facts["entityCount"] == 2
    assert facts["createdAt"] <= iso_of(before)
    assert (await client.get("/api/namespaces", headers=ADMIN)).json() == {"namespaces": [facts]}


async def test_one_that_is_none_is_404(client):
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/tokens"), ("DELETE", "/tokens/x")):
        body = {"scopes": ["read"]} if method == "POST" else None
        answer = await client.request(method, f"/api/namespaces/never{path}", json=body, headers=ADMIN)
        assert (answer.status_code, "never" in answer.json()["error"]) == (404, True)


async def test_a_name_that_is_taken_is_409(client, main):
    assert (await registered(client, "acme")).status_code == 409


@pytest.mark.parametrize("body", [[], 5, None, {}, {"name": "Acme"}, {"name": "acme", "visibility": "none"}])
async def test_a_body_that_names_none_is_400(client, body):
    answer = await client.post("/api/namespaces", json=body, headers=ADMIN)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_deleting_ends_its_tokens_and_entities_and_lets_its_name_go(client, main):
    for number in range(5):
        await written(client, main, f"acme/{number}")
    assert (await client.delete("/api/namespaces/acme", headers=ADMIN)).status_code == 204
    assert await written(client, main, "acme/x") == 401
    assert (await client.get("/api/namespaces/acme")).status_code == 404
    assert (await client.get("/api/state/entities?namespace=acme")).json() == []
    assert (await client.get("/api/events?entity=acme/1")).json() == []
    again = await registered(client, "acme")
    assert again.status_code == 200
    assert (await client.get("/api/namespaces/acme")).json()["entityCount"] == 0


async def test_the_next_owner_of_a_name_reads_nothing_of_the_one_before(client, main):
    await written(client, main, "acme/x")
    await client.delete("/api/namespaces/acme", headers=ADMIN)
    heir = (await registered(client, "acme")).json()["token"]
    path = "/api/events?entity=acme/x&since=2001-01-01T00:00:00Z"
    assert (await client.get(path)).json() == []
    await written(client, heir, "acme/x")
    assert len((await client.get(path)).json()) == 1


async def test_entities_of_before_tokens_were_on_keep_their_history(client, standing):
    await standing.publish(event("acme/x", {"v": 1}))
    await registered(client, "acme")
    assert len((await client.get("/api/events?entity=acme/x")).json()) == 1


async def test_a_deletion_that_was_cut_off_holds_the_name_and_is_finished_by_the_next(
    client, main, standing, monkeypatch
):
    await written(client, main, "acme/x")

    async def cut_off(*_):
        raise Unavailable("cut off")

    monkeypatch.setattr("flux_api.routes.namespaces.empty", cut_off)
    assert (await client.delete("/api/namespaces/acme", headers=ADMIN)).status_code == 503
    monkeypatch.undo()
    assert standing.door.tenancy.registry.namespace("acme").phase is Phase.DELETING
    taken = await registered(client, "acme")
    assert (taken.status_code, "DELETE it again" in taken.json()["error"]) == (409, True)
    assert (await client.delete("/api/namespaces/acme", headers=ADMIN)).status_code == 204
    assert (await registered(client, "acme")).status_code == 200


async def test_a_namespace_of_more_entities_than_one_call_deletes_is_emptied_too(
    client, main, standing, monkeypatch
):
    monkeypatch.setattr(limits, "delete_matches_max", 3)
    await standing.publish(*(event(f"acme/{number}", {"v": 1}) for number in range(10)))
    assert (await client.delete("/api/namespaces/acme", headers=ADMIN)).status_code == 204
    await registered(client, "acme")
    assert (await client.get("/api/namespaces/acme")).json()["entityCount"] == 0


async def test_nobody_gets_the_token_of_a_private_one_before_every_door_hides_it(
    client, standing, monkeypatch
):
    monkeypatch.setattr(limits, "tenancy_everywhere_s", 0.05)
    other = DoorBeat("other", 0, standing.door.tenancy.revision)
    await standing.door.metrics._on_beat(encode_beat(other))  # noqa: SLF001
    assert (await registered(client, "open")).status_code == 200
    late = await registered(client, "vault", visibility="private")
    assert (late.status_code, "not every door" in late.json()["error"]) == (503, True)
    monkeypatch.setattr(limits, "tenancy_everywhere_s", 5)
    waiting = asyncio.create_task(registered(client, "tomb", visibility="private"))
    await until(lambda: standing.door.tenancy.registry.namespace("tomb") is not None)
    await asyncio.sleep(0.02)
    assert not waiting.done()
    other = DoorBeat("other", 0, standing.door.tenancy.revision)
    await standing.door.metrics._on_beat(encode_beat(other))  # noqa: SLF001
    assert (await waiting).status_code == 200


async def test_a_deletion_waits_for_what_other_doors_have_under_way(client, main, standing, monkeypatch):
    await written(client, main, "acme/x")
    other = DoorBeat("other", 0, standing.door.tenancy.revision)
    await standing.door.metrics._on_beat(encode_beat(other))  # noqa: SLF001
    ending = asyncio.create_task(client.delete("/api/namespaces/acme", headers=ADMIN))
    await until(lambda: standing.door.tenancy.registry.namespace("acme").phase is Phase.DELETING)
    holder = standing.door.tenancy.registry.namespace("acme")
    await standing.publish(event("acme/ghost", {"v": 1}))  # what the other door had taken before it knew
    await asyncio.sleep(0.02)
    assert not ending.done()
    other = DoorBeat("other", 0, standing.door.tenancy.revision)
    await standing.door.metrics._on_beat(encode_beat(other))  # noqa: SLF001
    assert (await ending).status_code == 204
    assert holder is not None
    await registered(client, "acme")
    assert (await client.get("/api/state/entities?namespace=acme")).json() == []


async def test_a_second_deletion_touches_nothing_of_the_next_owner(client, main, standing, monkeypatch):
    await written(client, main, "acme/x")
    gate, there, real = asyncio.Event(), asyncio.Event(), namespaces.empty

    async def late(door, namespace):
        there.set()
        await gate.wait()
        return await real(door, namespace)

    monkeypatch.setattr(namespaces, "empty", late)
    second = asyncio.create_task(client.delete("/api/namespaces/acme", headers=ADMIN))
    await asyncio.wait_for(there.wait(), 5)
    monkeypatch.setattr(namespaces, "empty", real)
    first = await client.delete("/api/namespaces/acme", headers=ADMIN)
    assert first.status_code == 204, first.text
    heir = (await registered(client, "acme")).json()["token"]
    assert await written(client, heir, "acme/x") == 200
    gate.set()
    assert (await second).status_code == 409
    assert (await client.get("/api/state/entities/acme/x")).status_code == 200
    assert await written(client, heir, "acme/y") == 200


async def test_without_an_admin_token_nobody_makes_one(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True)
    transport = httpx.ASGITransport(build_app(standing.door.settings, standing.door))
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        for token in ("", "None", "x"):
            answer = await client.post("/api/namespaces", json={"name": "acme"}, headers=bearer(token))
            assert answer.status_code == 401
    await standing.down()


async def test_every_change_is_recorded_with_who_made_it_and_no_secret(client, main, standing):
    token = await token_of(client, main, scopes=["admin"], prefix="acme/k/", expiresAt="2100-01-01T00:00:00Z")
    rotated = await token_of(client, main, rotate=True)
    path = f"/api/namespaces/acme/tokens/{token['id']}"
    await client.delete(path, headers=bearer(token["token"]))
    await client.delete("/api/namespaces/acme", headers=ADMIN)
    namespace_id = standing.door.tenancy.registry.namespace("acme").id
    of_server = [event["payload"]["properties"] for event in await audit(client, standing)][::-1]
    of_tenant = await audit(client, standing, f"{AUDIT_ID}/{namespace_id}")
    records = [of_server[0], *(event["payload"]["properties"] for event in of_tenant[::-1]), of_server[1]]
    assert [(record["what"], record["who"]) for record in records] == [
        ("namespace.register", "admin token"),
        ("token.create", f"token {main.split('_')[1]}"),
        ("token.rotate", f"token {main.split('_')[1]}"),
        ("token.revoke", f"token {token['id']}"),
        ("namespace.delete", "admin token"),
    ]
    assert {record["details"]["name"] for record in records} == {"acme"}
    assert records[1]["details"] | {"namespaceId": None} == {
        "namespaceId": None,
        "name": "acme",
        "token": token["id"],
        "scopes": ["admin"],
        "prefix": "acme/k/",
        "expiresAt": "2100-01-01T00:00:00+00:00",
    }
    for text in (main, token["token"], rotated["token"]):
        assert text.split("_", 2)[2] not in str(records)
    assert "boss" not in str(records)


async def test_of_a_private_namespace_a_record_tells_no_name(client, standing):
    vault = (await registered(client, "vault", visibility="private")).json()
    wish = {"scopes": ["read"], "prefix": "vault/k/"}
    await client.post("/api/namespaces/vault/tokens", json=wish, headers=bearer(vault["token"]))
    of_tenant = await audit(client, standing, f"{AUDIT_ID}/{vault['namespaceId']}")
    records = [*await audit(client, standing), *of_tenant]
    assert len(records) == 2
    assert all(r["payload"]["properties"]["details"]["namespaceId"] == vault["namespaceId"] for r in records)
    assert "vault" not in str(records)


async def test_what_is_refused_is_not_recorded(client, main, standing):
    before = len(await audit(client, standing))
    await registered(client, "acme")
    await client.delete("/api/namespaces/never", headers=ADMIN)
    await client.delete("/api/namespaces/acme/tokens/never", headers=ADMIN)
    await client.post("/api/namespaces/acme/tokens", json={"scopes": []}, headers=ADMIN)
    assert len(await audit(client, standing)) == before


async def test_what_cannot_be_recorded_is_not_done(client, main, standing, monkeypatch):
    async def away(*_):
        raise Unavailable("the log cannot be reached")

    monkeypatch.setattr(standing.door.publisher, "publish_own", away)
    assert (await registered(client, "other")).status_code == 503
    assert (await client.delete("/api/namespaces/acme", headers=ADMIN)).status_code == 503
    monkeypatch.undo()
    assert (await client.get("/api/namespaces/other", headers=ADMIN)).status_code == 404
    assert await written(client, main, "acme/x") == 200
