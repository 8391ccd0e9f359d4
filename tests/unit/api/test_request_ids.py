"""Request ids: echoed as they came, and in every line that is logged on the way of a request."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import structlog

from flux_actors.logs import set_up_logs
from flux_api.app import build_app
from flux_api.request_ids import NamedRequests, RequestIds

log = structlog.get_logger("test")


@pytest.fixture
def written(capsys):
    """What is written to the log as Flux's processes write it."""
    before = structlog.get_config()
    set_up_logs()
    yield lambda: [line for line in capsys.readouterr().out.splitlines() if "said" in line]
    structlog.configure(**before)


async def says(scope, receive, send):
    log.info("said", path=scope["path"])
    await asyncio.sleep(0)
    log.info("said", path=scope["path"])
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def ask(app, path, *ids):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux") as client:
        return await client.get(path, headers=[("X-Request-Id", one) for one in ids])


@pytest.mark.parametrize("kind", [RequestIds, NamedRequests])
async def test_lines_bear_the_id_of_their_request(kind, written):
    await ask(kind(says), "/a", "mine-1")
    lines = written()
    assert len(lines) == 2
    assert all("request_id=mine-1" in line for line in lines)


async def test_a_request_without_an_id_gets_one_for_the_log_alone(written):
    answers = [await ask(RequestIds(says), "/a") for _ in range(2)]
    assert all("x-request-id" not in answer.headers for answer in answers)
    first, again, second, _ = [line.partition("request_id=")[2].split()[0] for line in written()]
    assert first == again != second
    assert len(first) == 16


@pytest.mark.parametrize("odd", ["two words", "x" * 257, "", "ü"])
async def test_an_odd_id_is_not_logged(odd, written):
    await ask(RequestIds(says), "/a", odd.encode())
    assert all(len(line.partition("request_id=")[2].split()[0]) == 16 for line in written())


async def test_requests_at_once_keep_their_ids_apart(written):
    app = RequestIds(says)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(ask(app, f"/{number}", f"id-{number}"))
    lines = written()
    assert len(lines) == 10
    for line in lines:
        number = line.partition("path=/")[2][0]
        assert f"request_id=id-{number}" in line


async def test_a_fault_is_logged_with_the_id_of_its_request(standing, monkeypatch, capsys):
    async def fail(*_):
        raise RuntimeError("by accident")

    monkeypatch.setattr(type(standing.door.view), "get", fail)
    before = structlog.get_config()
    set_up_logs()
    app = RequestIds(build_app(standing.door.settings, standing.door))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        path = "/api/state/entities/n/a%20request_id=theirs"
        answer = await client.get(path, headers={"X-Request-Id": "mine-2", "Authorization": "Bearer sekret"})
    structlog.configure(**before)
    logged = capsys.readouterr().out
    assert answer.status_code == 503
    (line,) = [line for line in logged.splitlines() if "request.fault" in line]
    assert "request_id=mine-2" in line
    assert "path='/api/state/entities/n/a%20request_id=theirs'" in line  # no line of the client's own making
    assert "sekret" not in logged
