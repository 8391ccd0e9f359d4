"""A partition for each test that asks for one, and the log lines of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from flux_actors.shard.cold import MemoryColdStore
from flux_actors.shard.memory import Memory
from tests.unit.shard.hosting import Hosting


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(params=["hot", "cold"])
async def hosting(request: pytest.FixtureRequest) -> Hosting:
    """One partition, whose entities stay in memory, or leave it whenever they can."""
    hosting = Hosting(memory=None if request.param == "hot" else Memory(0, MemoryColdStore))
    await hosting.listen()
    return hosting
