"""Tokens over the app: what they are good for, how they end, and who may make them."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_api.audit import Audit
from flux_api.tenancy import now_us
from tests.unit.api.routes.owners import (
    ADMIN,
    HOUR_US,
    bearer,
    client_of,
    owned,
    registered,
    token_of,
    written,
)


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
    monkeypatch.setattr("flux_actors.surroundings.time.time_ns", lambda: later_ns)
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


async def test_a_token_revoked_while_it_asks_for_another_gets_none(client, main, standing, monkeypatch):
    thief = await token_of(client, main, scopes=["admin"])
    record, revoked = standing.door.audit.record, []

    async def slow(self, who, what, details, about=""):
        if what == "token.create" and not revoked:
            revoked.append(True)
            path = f"/api/namespaces/acme/tokens/{thief['id']}"
            assert (await client.delete(path, headers=bearer(main))).status_code == 204

    monkeypatch.setattr(Audit, "record", slow)
    for wish in ({"scopes": ["write"]}, {"rotate": True}):
        answer = await client.post("/api/namespaces/acme/tokens", json=wish, headers=bearer(thief["token"]))
        assert answer.status_code == 401
    assert record is not None
    assert await written(client, main, "acme/x") == 200


async def test_the_tokens_of_a_namespace_are_listed_without_what_makes_them_good(client, main):
    reader = await token_of(client, main, scopes=["read"], prefix="acme/k/", expiresAt="2100-01-01T00:00:00Z")
    tokens = (await client.get("/api/namespaces/acme/tokens", headers=bearer(main))).json()["tokens"]
    assert [token["main"] for token in tokens] == [True, False]
    assert tokens[1] | {"createdAt": None} == {
        "id": reader["id"],
        "main": False,
        "scopes": ["read"],
        "prefix": "acme/k/",
        "createdAt": None,
        "expiresAt": "2100-01-01T00:00:00+00:00",
    }
    assert reader["token"].split("_", 2)[2] not in str(tokens)


async def test_a_tenant_may_change_its_tokens_only_so_often(client, main, monkeypatch):
    monkeypatch.setattr(limits, "token_changes_per_minute", 2)
    statuses = []
    for _ in range(3):
        answer = await client.post(
            "/api/namespaces/acme/tokens", json={"scopes": ["read"]}, headers=bearer(main)
        )
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 429]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (await client.post("/api/namespaces/acme/tokens", json={"rotate": True}, headers=ADMIN)).is_success
