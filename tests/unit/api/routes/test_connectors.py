"""Connectors as clients see and configure them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from flux_actors import limits
from flux_actors.connectors.records import Memory, Status
from flux_actors.connectors.vault import Vault
from flux_api.app import build_app
from tests.unit.api.standing import Standing

NAMES = ["github", "gmail", "linkedin", "calendar"]
KEY = base64.b64encode(bytes(32)).decode()
TOKEN = "ghp_s3cret"
UNKNOWN = {"last_poll": None, "last_error": None, "poll_interval_seconds": None}
SOURCE = {
    "name": "weather",
    "url": "http://8.8.8.8/now?key=hidden",
    "poll_interval_secs": 5,
    "entity_key": "weather",
    "namespace": "home",
    "auth_type": "none",
}


@pytest.fixture
async def keyed(monkeypatch):
    """A door with a key, and a client of it."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(encryption_key=SecretStr(KEY))
    yield standing
    await standing.down()


@pytest.fixture
async def keyed_client(keyed):
    transport = httpx.ASGITransport(build_app(keyed.door.settings, keyed.door), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        yield client


async def the_record(standing: Standing, namespace: str = "default") -> dict[str, Any]:
    return (await standing.door.connectors.store.record(namespace)).connectors


class TestReading:
    async def test_the_four_are_listed_and_none_is_configured(self, client):
        answer = await client.get("/api/connectors")
        assert answer.json() == {
            "connectors": [{"name": name, "enabled": False, "status": "not_configured"} for name in NAMES]
        }

    @pytest.mark.parametrize("name", NAMES)
    async def test_one_tells_its_poll_facts(self, client, name):
        answer = await client.get(f"/api/connectors/{name}")
        assert answer.json() == {"name": name, "enabled": False, "status": "not_configured"} | UNKNOWN

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    async def test_an_unknown_one_is_404(self, keyed_client, method):
        path = "/api/connectors/fax" + ("" if method == "GET" else "/token")
        answer = await keyed_client.request(method, path, json={"token": "x"})
        assert answer.status_code == 404
        assert "github" in answer.json()["error"]

    async def test_what_the_actor_says_is_told(self, keyed, keyed_client):
        await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
        revision = (await the_record(keyed))["github"].revision
        actors: Any = keyed.door.connectors.actors
        actors.statuses["default"] = {"github": Status(revision, 1_000_500, "rate limited", True, 60.0)}
        assert (await keyed_client.get("/api/connectors/github")).json() == {
            "name": "github",
            "enabled": True,
            "status": "error",
            "last_poll": "1970-01-01T00:16:40.500000+00:00",
            "last_error": "rate limited",
            "poll_interval_seconds": 60,
        }
        listed = (await keyed_client.get("/api/connectors")).json()["connectors"]
        assert listed[0] == {"name": "github", "enabled": True, "status": "error"}
        actors.statuses["default"] = {"github": Status("of another token", 1, "old", True, 60.0)}
        assert (await keyed_client.get("/api/connectors/github")).json()["last_error"] is None

    async def test_what_was_kept_is_told_while_the_actor_is_away(self, keyed, keyed_client):
        await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
        revision = (await the_record(keyed))["github"].revision
        memory = Memory(revision, last_poll_ms=1_000_000, last_error="away", failing=True)
        await keyed.door.connectors.store.remember("default", "github", memory, 0)
        told = (await keyed_client.get("/api/connectors/github")).json()
        assert (told["status"], told["last_error"]) == ("error", "away")
        assert told["poll_interval_seconds"] == 60


class TestTokens:
    async def test_one_is_kept_encrypted_and_taken_up(self, keyed, keyed_client):
        answer = await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        configured = (await the_record(keyed))["github"]
        assert TOKEN not in repr(configured)
        assert Vault([bytes(32)]).of("default").open("github", configured.sealed) == TOKEN
        assert keyed.door.connectors.actors.heard == ["default"]
        told = (await keyed_client.get("/api/connectors/github")).json()
        assert told == {"name": "github", "enabled": True, "status": "configured"} | UNKNOWN | {
            "poll_interval_seconds": 60
        }

    async def test_another_one_replaces_it(self, keyed, keyed_client):
        for token in (TOKEN, "ghp_other"):
            await keyed_client.post("/api/connectors/github/token", json={"token": token})
        sealed = (await the_record(keyed))["github"].sealed
        assert Vault([bytes(32)]).of("default").open("github", sealed) == "ghp_other"

    async def test_settings_go_with_it(self, keyed, keyed_client):
        body = {"token": TOKEN, "settings": {"city": "Berlin"}}
        await keyed_client.post("/api/connectors/github/token", json=body)
        assert (await the_record(keyed))["github"].settings == {"city": "Berlin"}

    async def test_it_is_forgotten_with_all_that_was_remembered(self, keyed, keyed_client):
        await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
        await keyed.door.connectors.store.remember("default", "github", Memory("r"), 0)
        for _ in range(2):
            answer = await keyed_client.delete("/api/connectors/github/token")
            assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert await the_record(keyed) == {}
        assert await keyed.door.connectors.store.memory("default", "github") == (None, 0)
        assert keyed.door.connectors.actors.heard == ["default"] * 3
        listed = (await keyed_client.get("/api/connectors")).json()["connectors"]
        assert listed[0]["status"] == "not_configured"

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"[]", b"7", b"{}", b'{"token":""}', b'{"token":7}', b'{"token":null}'),
            *(
                b'{"token":"a\\nb"}',
                b'{"token":" a"}',
                b'{"token":"x","more":1}',
                b'{"token":"x","settings":7}',
            ),
            b'{"token":"' + b"x" * 5000 + b'"}',
            b'{"token":"x","settings":{"a":"' + b"x" * 9000 + b'"}}',
        ],
    )
    async def test_a_bad_body_is_told_before_a_missing_key(self, client, keyed_client, body):
        for asked in (client, keyed_client):
            answer = await asked.post("/api/connectors/github/token", content=body)
            assert answer.status_code == 400
            assert answer.json()["error"]

    async def test_a_body_over_its_limit_is_413(self, client):
        body = b'{"token":"' + b"x" * limits.connector_body_bytes_max + b'"}'
        assert (await client.post("/api/connectors/github/token", content=body)).status_code == 413

    async def test_without_a_key_it_is_500_with_a_text_that_says_how_to_make_one(self, client):
        for method in ("POST", "DELETE"):
            answer = await client.request(method, "/api/connectors/github/token", json={"token": TOKEN})
            assert answer.status_code == 500
            assert "flux connectors key" in answer.json()["error"]
            assert "FLUX_ENCRYPTION_KEY" in answer.json()["error"]

    async def test_no_answer_and_no_log_line_holds_it(self, keyed_client, lines):
        await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
        await keyed_client.post(
            "/api/connectors/generic", json=SOURCE | {"auth_type": "bearer", "token": TOKEN}
        )
        for path in ("", "/github", "/generic"):
            assert TOKEN not in (await keyed_client.get(f"/api/connectors{path}")).text
        refused = await keyed_client.post("/api/connectors/github/token", json={"token": f"{TOKEN}\n"})
        assert TOKEN not in refused.text
        assert TOKEN not in str(lines)


class TestSources:
    async def test_one_is_added_listed_and_removed(self, client, standing):
        added = await client.post("/api/connectors/generic", json=SOURCE)
        assert added.status_code == 200
        (source_id,) = added.json().values()
        assert (await client.get("/api/connectors/generic")).json() == {
            "sources": [
                {
                    "source_id": source_id,
                    "name": "weather",
                    "url": "http://8.8.8.8/now",
                    "entity_id": "home/weather",
                    "poll_interval_seconds": 5,
                    "enabled": True,
                    "status": "configured",
                    "last_poll": None,
                    "last_error": None,
                }
            ]
        }
        removed = await client.delete(f"/api/connectors/generic/{source_id}")
        assert removed.json() == {"success": True}
        assert (await client.get("/api/connectors/generic")).json() == {"sources": []}
        assert standing.door.connectors.actors.heard == ["default"] * 2
        assert (await client.delete(f"/api/connectors/generic/{source_id}")).status_code == 404

    async def test_the_four_stay_four(self, client):
        await client.post("/api/connectors/generic", json=SOURCE)
        assert [row["name"] for row in (await client.get("/api/connectors")).json()["connectors"]] == NAMES

    async def test_one_with_a_token_needs_a_key_and_one_without_does_not(self, client, keyed, keyed_client):
        secret = SOURCE | {"auth_type": {"api_key_header": "X-Key"}, "token": TOKEN}
        assert (await client.post("/api/connectors/generic", json=secret)).status_code == 500
        assert (await client.post("/api/connectors/generic", json=secret | {"url": 7})).status_code == 400
        assert (await keyed_client.post("/api/connectors/generic", json=secret)).status_code == 200
        ((key, configured),) = (await the_record(keyed)).items()
        assert Vault([bytes(32)]).of("default").open(key, configured.sealed) == TOKEN
        assert TOKEN not in repr(configured)

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "http://127.0.0.1/",
                "http://localhost:3000/",
                "http://[::1]/",
                "http://10.0.0.1/",
                "http://127.1/",
            ),
            *("http://2130706433/", "http://169.254.169.254/latest/", "http://metadata.google.internal/"),
            *("http://[::ffff:127.0.0.1]/", "http://0x7f000001/", "http://192.168.1.1:8080/x", "http://0/"),
        ],
    )
    async def test_a_private_address_is_400(self, client, url):
        answer = await client.post("/api/connectors/generic", json=SOURCE | {"url": url})
        assert answer.status_code == 400
        assert "FLUX_CONNECTORS_ALLOW_PRIVATE" in answer.json()["error"]

    async def test_an_operator_may_allow_them(self, client, standing):
        settings = standing.door.settings.model_copy(update={"connectors_allow_private": True})
        standing.door.connectors.settings = settings
        answer = await client.post("/api/connectors/generic", json=SOURCE | {"url": "http://127.0.0.1/"})
        assert answer.status_code == 200

    async def test_there_is_a_bound_to_them(self, client, monkeypatch):
        monkeypatch.setattr(limits, "generic_sources_max", 2)
        statuses = [(await client.post("/api/connectors/generic", json=SOURCE)).status_code for _ in range(3)]
        assert statuses == [200, 200, 409]

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name":1}', b"[" * 300])
    async def test_a_bad_body_is_400(self, client, body):
        assert (await client.post("/api/connectors/generic", content=body)).status_code == 400

    async def test_the_servers_own_names_are_403(self, client):
        body = SOURCE | {"namespace": "flux-core"}
        assert (await client.post("/api/connectors/generic", json=body)).status_code == 403


async def test_every_change_is_recorded_with_who_made_it_and_no_secret(keyed, keyed_client):
    await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
    added = await keyed_client.post("/api/connectors/generic", json=SOURCE)
    await keyed_client.delete(f"/api/connectors/generic/{added.json()['source_id']}")
    await keyed_client.delete("/api/connectors/github/token")
    refused = [
        await keyed_client.delete("/api/connectors/generic/none"),
        await keyed_client.post("/api/connectors/github/token", json={}),
    ]
    assert [answer.status_code for answer in refused] == [404, 400]
    records = await recorded(keyed_client, 4)
    assert [(record["who"], record["what"]) for record in records] == [
        ("anyone", "connector.token"),
        ("anyone", "connector.source"),
        ("anyone", "connector.remove"),
        ("anyone", "connector.forget"),
    ]
    assert records[0]["details"] == {"connector": "github"}
    assert TOKEN not in str(records)


async def recorded(client: httpx.AsyncClient, count: int) -> list[Any]:
    """Return what was recorded, oldest first, once there are `count`."""
    async with asyncio.timeout(5):
        while True:
            events = (await client.get("/api/events?entity=flux-core/audit")).json()
            if len(events) >= count:
                return [event["payload"]["properties"] for event in reversed(events)]


async def test_a_change_that_cannot_be_recorded_is_not_made(keyed, keyed_client, monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    keyed.log.away = True
    answer = await keyed_client.post("/api/connectors/github/token", json={"token": TOKEN})
    keyed.log.away = False
    assert answer.status_code == 503
    assert "could not be recorded" in answer.json()["error"]
    assert await the_record(keyed) == {}
