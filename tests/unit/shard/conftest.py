"""A partition for each test that asks for one, and the log lines of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.unit.shard.hosting import Hosting


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
async def hosting() -> Hosting:
    hosting = Hosting()
    await hosting.listen()
    return hosting
