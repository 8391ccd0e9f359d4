"""Doors on twins, clients of their app, and the log lines of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog

from flux_actors import limits
from flux_api.app import build_app
from tests.unit.api.standing import Standing
from tests.unit.api.tenants import ADMIN_TOKEN, Tenants


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
async def standing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standing]:
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(read_wait_ms=5_000)
    yield standing
    await standing.down()


@pytest.fixture
async def client(standing: Standing) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app; a fault in the app is an answer, as behind a real listener."""
    app = build_app(standing.door.settings, standing.door)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        yield client


@pytest.fixture
async def tenants(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tenants]:
    """A door with a public and a private namespace, and clients of every kind."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True, admin_token=ADMIN_TOKEN)
    yield await Tenants.settle(standing)
    await standing.down()
