"""The admin's config over the app: read by all, changed by the admin."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from flux_actors import limits
from flux_api.app import build_app

CONFIG = "/api/admin/config"
DEFAULTS = {
    "rate_limit_enabled": True,
    "rate_limit_per_namespace_per_minute": 10_000,
    "body_size_limit_single_bytes": 1_048_576,
    "body_size_limit_batch_bytes": 10_485_760,
}


def client_from(standing, address):
    app = build_app(standing.door.settings, standing.door)
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://flux")


@pytest.fixture
def with_token(standing):
    """Give the door an admin token."""
    settings = standing.door.settings.model_copy(update={"admin_token": SecretStr("secret")})
    standing.door.settings = settings


async def test_everybody_may_read_it(client):
    assert (await client.get(CONFIG)).json() == DEFAULTS


async def test_a_change_is_answered_with_the_whole_config(client):
    answer = await client.put(CONFIG, json={"rate_limit_enabled": False})
    assert answer.json() == DEFAULTS | {"rate_limit_enabled": False}
    assert (await client.get(CONFIG)).json() == answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"unknown": 1},
        {"rate_limit_enabled": 1},
        {"rate_limit_per_namespace_per_minute": 0},
        {"rate_limit_per_namespace_per_minute": 10_000_001},
        {"rate_limit_per_namespace_per_minute": True},
        {"body_size_limit_single_bytes": 1_023},
        {"body_size_limit_single_bytes": 8 * 1_048_576 + 1},
        {"body_size_limit_batch_bytes": 64.0 * 1_048_576},
        [],
    ],
)
async def test_a_change_that_does_not_fit_changes_nothing(client, body):
    assert (await client.put(CONFIG, json=body)).status_code == 400
    assert (await client.get(CONFIG)).json() == DEFAULTS


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.0.0.7", 403), ("nowhere", 403)]
)
async def test_without_a_token_only_this_machine_may_change_it(standing, address, status):
    async with client_from(standing, address) as client:
        assert (await client.put(CONFIG, json={})).status_code == status
        assert (await client.get(CONFIG)).status_code == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("secret", 401),
        ("Bearer ", 401),
        ("bearer\xfc", 401),
        ("Bearer secret", 200),
    ],
)
async def test_with_a_token_it_takes_the_token_from_anywhere(standing, with_token, given, status, lines):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    async with client_from(standing, "10.0.0.7") as client:
        answer = await client.put(CONFIG, json={}, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    assert "secret" not in answer.text + repr(lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "10.0.0.7"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("X-Forwarded-Host", "localhost"),
        ("Origin", "http://elsewhere.example"),
        ("Origin", "http://localhost.elsewhere.example"),
        ("Origin", "http://127.0.0.1.elsewhere.example"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Origin", "http://["),
        ("Origin", "http://user@elsewhere.example/localhost"),
    ],
)
async def test_what_another_passes_on_is_not_this_machines_own(standing, name, value):
    """A proxy on this machine, or a browser on it that shows the page of another site."""
    async with client_from(standing, "127.0.0.1") as client:
        answer = await client.put(CONFIG, json={"rate_limit_enabled": False}, headers={name: value})
        assert answer.status_code == 403
        assert "FLUX_ADMIN_TOKEN" in answer.json()["error"]
        assert (await client.get(CONFIG)).json() == DEFAULTS


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]:3000"])
async def test_a_page_of_this_machine_may_change_it(standing, origin):
    async with client_from(standing, "127.0.0.1") as client:
        assert (await client.put(CONFIG, json={}, headers={"Origin": origin})).status_code == 200


@pytest.mark.parametrize(
    ("address", "headers", "who"),
    [("::1", {}, "::1"), ("10.0.0.7", {"Authorization": "Bearer secret"}, "admin token")],
)
async def test_a_change_is_recorded_with_who_made_it_and_no_token(standing, request, address, headers, who):
    if headers:
        request.getfixturevalue("with_token")
    async with client_from(standing, address) as client:
        change = {"rate_limit_enabled": False}
        assert (await client.put(CONFIG, json=change, headers=headers)).status_code == 200
        await standing.door.caught_up(standing.door.partitioning.all())
        record = await client.get("/api/state/entities/flux-core/audit")
    properties = record.json()["properties"]
    assert (properties["who"], properties["what"]) == (who, "config.change")
    assert properties["details"] == {"rate_limit_enabled": {"from": True, "to": False}}
    assert "secret" not in record.text


async def test_a_change_that_cannot_be_recorded_is_503_and_is_not_made(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    standing.log.away = True
    answer = await client.put(CONFIG, json={"rate_limit_enabled": False})
    assert answer.status_code == 503
    assert "nothing was changed" in answer.json()["error"]
    assert int(answer.headers["retry-after"]) >= 1
    assert (await client.get(CONFIG)).json() == DEFAULTS
    standing.log.away = False
    assert (await client.put(CONFIG, json={"rate_limit_enabled": False})).status_code == 200


async def test_with_a_token_this_machine_needs_it_as_well(standing, with_token):
    async with client_from(standing, "127.0.0.1") as client:
        assert (await client.put(CONFIG, json={})).status_code == 401
