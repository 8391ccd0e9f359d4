"""What the router's tests share: their log lines, which are silent otherwise, and shards that are values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from flux_actors.router import moving
from flux_actors.router import router as router_module
from tests.unit.router.fake_shards import FakeShards, FlakyKeyValue
from tests.unit.router.opening import Surroundings, surrounded


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the next look."""
    monkeypatch.setattr(router_module, "_WATCH_S", 0.0)
    monkeypatch.setattr(router_module, "_AGAIN_S", 0.0)
    monkeypatch.setattr(moving, "_LOOK_S", 0.0)


@pytest.fixture
def store() -> FlakyKeyValue:
    return FlakyKeyValue()


@pytest.fixture
def shards() -> FakeShards:
    return FakeShards()


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """What a NamespaceRouter opens."""
    return surrounded(monkeypatch)
