"""The log lines of each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured
