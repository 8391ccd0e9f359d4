"""Namespaces over the app: made, looked at, given tokens, deleted, and their names taken again."""

from __future__ import annotations

import httpx
import pytest

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity_id import AUDIT_ID
from flux_actors.errors import Unavailable
from flux_actors.tenancy.namespace import Phase
from flux_api.app import build_app
from flux_api.tenancy import now_us
from tests.unit.api.standing import Standing, event

ADMIN = {"Authorization": "Bearer boss"}
HOUR_US = 3_600_000_000


@pytest.fixture
async def standing(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    monkeypatch.setattr(limits, "tenancy_seen_s", 0)
    standing = await Standing.up(auth_enabled=True, admin_token="boss")
    yield standing
    await standing.down()


@pytest.fixture
async def client(standing):
    transport = httpx.ASGITransport(build_app(standing.door.settings, standing.door))
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        yield client


@pytest.fixture
async def main(client):
    """The main token of `acme`."""
    return (await registered(client, "acme")).json()["token"]


async def registered(client, name, **fields):
    return await client.post("/api/namespaces", json={"name": name, **fields}, headers=ADMIN)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def written(client, token, entity_id):
    answer = await client.post(
        "/api/events?wait=applied", json=event(entity_id, {"v": 1}), headers=bearer(token)
    )
    return answer.status_code


async def token_of(client, by, **wish):
    answer = await client.post("/api/namespaces/acme/tokens", json=wish, headers=bearer(by))
    assert set(answer.json()) == {"id", "token"}, answer.text
    return answer.json()


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


async def test_a_token_has_what_was_asked_for(client, main):
    reader = await token_of(client, main, scopes=["read"])
    kitchen = await token_of(client, main, scopes=["write"], prefix="acme/kitchen/")
    assert await written(client, reader["token"], "acme/x") == 403
    assert await written(client, kitchen["token"], "acme/x") == 403
    assert await written(client, kitchen["token"], "acme/kitchen/x") == 200


async def test_a_token_ends_when_it_is_said_to(client, main, monkeypatch):
    lent = await token_of(client, main, scopes=["write"], expiresAt=iso_of(now_us() + HOUR_US))
    assert await written(client, lent["token"], "acme/x") == 200
    later_ns = (now_us() + HOUR_US) * 1_000
    monkeypatch.setattr("flux_api.publishing.time.time_ns", lambda: later_ns)
    assert await written(client, lent["token"], "acme/x") == 401
    assert await written(client, main, "acme/x") == 200


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"scopes": []},
        {"scopes": "read"},
        {"scopes": ["own"]},
        {"scopes": [["read"]]},
        {"scopes": ["read"], "prefix": "kitchen/"},
        {"scopes": ["read"], "prefix": "other/"},
        {"scopes": ["read"], "prefix": 5},
        {"scopes": ["read"], "prefix": "acme/" + "x" * 600},
        {"scopes": ["read"], "expiresAt": "tomorrow"},
        {"scopes": ["read"], "expiresAt": 5},
        {"scopes": ["read"], "expiresAt": "2001-01-01T00:00:00Z"},
        {"scopes": ["read"], "expires": None},
        {"rotate": False},
        {"rotate": True, "scopes": ["read"]},
    ],
)
async def test_a_wish_that_makes_no_sense_is_400(client, main, wish):
    answer = await client.post("/api/namespaces/acme/tokens", json=wish, headers=bearer(main))
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_token_gives_away_no_more_than_it_has(client, main):
    end = iso_of(now_us() + HOUR_US)
    bounded = await token_of(client, main, scopes=["admin"], prefix="acme/k/", expiresAt=end)
    for wish in (
        {"scopes": ["read"], "expiresAt": end},
        {"scopes": ["read"], "prefix": "acme/x/", "expiresAt": end},
        {"scopes": ["read"], "prefix": "acme/k/"},
        {"scopes": ["read"], "prefix": "acme/k/", "expiresAt": iso_of(now_us() + 2 * HOUR_US)},
        {"rotate": True},
    ):
        answer = await client.post("/api/namespaces/acme/tokens", json=wish, headers=bearer(bounded["token"]))
        assert answer.status_code == 403, wish
    await token_of(client, bounded["token"], scopes=["read"], prefix="acme/k/1", expiresAt=end)
    others = await token_of(client, main, scopes=["read"])
    path = "/api/namespaces/acme/tokens/"
    assert (await client.delete(path + others["id"], headers=bearer(bounded["token"]))).status_code == 403
    assert (await client.delete(path + bounded["id"], headers=bearer(bounded["token"]))).status_code == 204


async def test_rotating_ends_the_main_token_alone(client, main):
    other = await token_of(client, main, scopes=["write"])
    fresh = await token_of(client, main, rotate=True)
    assert await written(client, main, "acme/x") == 401
    assert await written(client, other["token"], "acme/x") == 200
    assert await written(client, fresh["token"], "acme/x") == 200


async def test_a_revoked_token_is_none(client, main):
    other = await token_of(client, main, scopes=["write"])
    path = f"/api/namespaces/acme/tokens/{other['id']}"
    assert (await client.delete(path, headers=bearer(main))).status_code == 204
    assert await written(client, other["token"], "acme/x") == 401
    assert (await client.delete(path, headers=bearer(main))).status_code == 404


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
    monkeypatch.setattr(limits, "tenancy_seen_s", 0)
    assert standing.door.tenancy.registry.namespace("acme").phase is Phase.DELETING
    assert (await client.get("/api/state/entities/acme/x")).status_code == 404
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


async def test_nobody_gets_the_token_of_a_private_one_before_every_door_hides_it(client, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(limits, "tenancy_seen_s", 1.0)
    monkeypatch.setattr("flux_api.routes.namespaces.asyncio.sleep", sleep)
    assert (await registered(client, "open")).status_code == 200
    seen_before = list(slept)
    assert (await registered(client, "vault", visibility="private")).status_code == 200
    assert 1.0 not in seen_before
    assert 1.0 in slept


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
    records = [event["payload"]["properties"] for event in await audit(client, standing)][::-1]
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
    for secret in (main, token["token"], rotated["token"], "boss"):
        assert secret.rpartition("_")[2] not in str(records)


async def test_of_a_private_namespace_a_record_tells_no_name(client, standing):
    vault = (await registered(client, "vault", visibility="private")).json()
    wish = {"scopes": ["read"], "prefix": "vault/k/"}
    await client.post("/api/namespaces/vault/tokens", json=wish, headers=bearer(vault["token"]))
    records = await audit(client, standing)
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


async def audit(client, standing):
    """Return the records, newest first."""
    await standing.door.caught_up((standing.door.partitioning.of_entity(AUDIT_ID),))
    return (await client.get(f"/api/events?entity={AUDIT_ID}")).json()
