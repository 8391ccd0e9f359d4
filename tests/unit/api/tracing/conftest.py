"""A door and a shard whose events are traced."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from flux_actors import limits
from flux_api.app import build_app
from tests.unit.api.standing import Standing
from tests.unit.tracing.collector import Kept


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def followed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standing]:
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(traces=kept.traces)
    yield standing
    await standing.down()


@pytest.fixture
async def browser(followed: Standing) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its app."""
    app = build_app(followed.door.settings, followed.door)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        yield client
