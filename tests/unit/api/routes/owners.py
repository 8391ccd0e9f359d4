"""Namespaces in tests: an app with tenants, an admin, and what they do again and again."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx

from flux_actors import limits
from flux_actors.domain.entity_id import AUDIT_ID
from flux_api.app import build_app
from tests.unit.api.standing import Standing, event

ADMIN = {"Authorization": "Bearer boss"}
HOUR_US = 3_600_000_000


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


async def audit(client, standing, entity_id=AUDIT_ID):
    """Return the records, newest first."""
    await standing.door.caught_up((standing.door.partitioning.of_entity(entity_id),))
    return (await client.get(f"/api/events?entity={entity_id}")).json()


@asynccontextmanager
async def owned(monkeypatch):
    """Yield a door with tokens on, and none made."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True, admin_token="boss")
    yield standing
    await standing.down()


def client_of(standing):
    """Return a client of a door's app."""
    transport = httpx.ASGITransport(build_app(standing.door.settings, standing.door))
    return httpx.AsyncClient(transport=transport, base_url="http://flux")
