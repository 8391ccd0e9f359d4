"""`/metrics`: who may read it, and what it is."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from flux_actors import limits
from flux_actors.metering.exposition import CONTENT_TYPE
from flux_api.app import build_app
from tests.unit.api.standing import Standing

TOKEN = "only-metrics"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "roll_wait_s", 0.01)
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)


def client_of(standing):
    app = build_app(standing.door.settings, standing.door)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux")


@pytest.fixture
async def guarded():
    """A door with tokens off whose metrics need one."""
    standing = await Standing.up(metrics_token=SecretStr(TOKEN), admin_token=SecretStr("the-admin's"))
    await standing.door.scraping.open()
    yield standing
    await standing.down()


def bearing(token):
    return {"Authorization": f"Bearer {token}"}


async def test_it_is_text_that_prometheus_reads(standing, client):
    await standing.door.scraping.open()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.text.startswith("# HELP flux_process_info ")
    assert (await client.get("/metrics", headers={"Accept-Encoding": "gzip"})).text.startswith("# HELP")


async def test_with_tokens_on_it_is_for_the_admin(tenants):
    await tenants.standing.door.scraping.open()
    async with client_of(tenants.standing) as client:
        for kind in tenants.kinds:
            answer = await client.get("/metrics", headers=tenants.headers(kind))
            if kind == "admin":
                assert answer.status_code == 200
                assert "vault" not in answer.text
                assert "acme" not in answer.text
            else:
                assert answer.status_code in {401, 403}, kind
                assert set(answer.json()) == {"error"}


async def test_with_a_token_of_its_own_it_needs_that_or_the_admins(guarded):
    async with client_of(guarded) as client:
        for token, status in ((TOKEN, 200), ("the-admin's", 200), ("wrong", 401), ("", 401), ("é", 401)):
            answer = await client.get("/metrics", headers={"Authorization": f"Bearer {token}".encode()})
            assert answer.status_code == status, token
        assert (await client.get("/metrics")).status_code == 401
        basic = {"Authorization": f"Basic {TOKEN}"}
        assert (await client.get("/metrics", headers=basic)).status_code == 401


async def test_that_token_may_do_nothing_else(tenants):
    settings = tenants.standing.door.settings
    tenants.standing.door.settings = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    await tenants.standing.door.scraping.open()
    async with client_of(tenants.standing) as client:
        assert (await client.get("/metrics", headers=bearing(TOKEN))).status_code == 200
        for path in ("/api/status", "/api/admin/log"):
            assert (await client.get(path, headers=bearing(TOKEN))).status_code in {401, 403}
        assert (await client.get("/metrics", headers=tenants.headers("admin"))).status_code == 200
        assert (await client.get("/metrics", headers=tenants.headers("main"))).status_code == 403
