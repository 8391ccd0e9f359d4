"""Users of Flux on twins, and the log lines of each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from flux_actors import limits
from flux_actors.native.aio import AsyncFlux
from flux_actors.native.flux import Flux
from tests.unit.native.twin import Twin


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    monkeypatch.setattr(limits, "native_retry_s", 0.001)
    twin = Twin()
    yield twin
    twin.down()


@pytest.fixture
def fx(twin: Twin) -> Flux:
    return twin.flux()


@pytest.fixture
def aio(twin: Twin) -> AsyncFlux:
    return twin.aio()
