"""The app: errors in one shape, CORS, compression, request ids."""

from __future__ import annotations

import httpx
import pytest

from flux_api.app import build_app
from flux_api.request_ids import RequestIds
from tests.unit.api.standing import Standing, event


@pytest.fixture
async def client_with_ids(standing):
    """A client of the app as the door serves it."""
    app = RequestIds(build_app(standing.door.settings, standing.door))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        yield client


def is_error(answer, status):
    """Whether an answer is the one shape of errors."""
    body = answer.json()
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/json"
        and list(body) == ["error"]
        and isinstance(body["error"], str)
        and len(body["error"]) > 8
    )


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/state/entitie", "/api/events/", "/nothing%00"])
async def test_an_unknown_path_is_404(client, path):
    assert is_error(await client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/api/events", "GET, POST"),
        ("PUT", "/api/events/batch", "POST"),
        ("POST", "/api/state/entities/n/e", "DELETE, GET, HEAD"),
        ("DELETE", "/api/admin/config", "GET, PUT"),
        ("POST", "/api/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405_and_names_the_right_ones(client, method, path, allowed):
    answer = await client.request(method, path)
    assert is_error(answer, 405)
    assert answer.headers["allow"] == allowed


async def test_a_refusal_of_a_handler_is_one_sentence(client):
    assert is_error(await client.post("/api/events", content=b"{"), 400)


async def test_a_part_that_is_away_is_503_with_a_time_to_try_again(client, standing):
    await standing.door.publisher.close()
    answer = await client.post("/api/events", json=event("n/e", {"v": 1}))
    assert is_error(answer, 503)
    assert answer.headers["retry-after"] == "1"


async def test_a_fault_of_our_own_is_503_and_tells_no_secret(client, standing, monkeypatch, lines):
    async def fail(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(standing.door.view), "get", fail)
    answer = await client.get("/api/state/entities/n/e")
    assert is_error(answer, 503)
    assert "secret" not in answer.text
    assert [line["path"] for line in lines if line["event"] == "request.fault"] == ["/api/state/entities/n/e"]


async def test_any_origin_may_ask_by_default(client):
    answer = await client.get("/api/live", headers={"Origin": "http://page"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Flux-Position" in answer.headers["access-control-expose-headers"]
    asked = {"Origin": "http://page", "Access-Control-Request-Method": "PUT"}
    assert (await client.options("/api/admin/config", headers=asked)).status_code == 200


async def test_origins_can_be_named(monkeypatch):
    monkeypatch.setattr("flux_actors.limits.heartbeat_s", 0.002)
    standing = await Standing.up(cors_origins="http://a, http://b")
    app = build_app(standing.door.settings, standing.door)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux") as client:
        for origin, allowed in (("http://b", "http://b"), ("http://c", None)):
            answer = await client.get("/api/live", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
    await standing.down()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_large_answers_are_compressed_on_request_and_small_ones_are_not(client, standing, encoding):
    await standing.publish(event("n/e", {"text": "x" * 2_000}))
    headers = {"Accept-Encoding": encoding}
    async with client.stream("GET", "/api/state/entities/n/e", headers=headers) as large:
        body = b"".join([chunk async for chunk in large.aiter_raw()])
    assert large.headers["content-encoding"] == encoding
    assert len(body) < 500
    assert "content-encoding" not in (await client.get("/api/live", headers=headers)).headers


async def test_a_request_id_is_echoed_whatever_the_answer(client_with_ids):
    for path in ("/api/live", "/api/nothing"):
        answer = await client_with_ids.get(path, headers={"X-Request-Id": "abc-123"})
        assert answer.headers.get_list("x-request-id") == ["abc-123"]


@pytest.mark.parametrize("value", ["", "two words", "x" * 257, "ü"])
async def test_a_request_id_that_is_none_is_not_echoed(client_with_ids, value):
    answer = await client_with_ids.get("/api/live", headers={"X-Request-Id": value.encode()})
    assert "x-request-id" not in answer.headers


async def test_without_a_request_id_none_is_made_up(client_with_ids):
    assert "x-request-id" not in (await client_with_ids.get("/api/live")).headers
