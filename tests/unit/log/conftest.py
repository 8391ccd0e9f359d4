"""A log that a test can hold, silence and fill, and a committer on it."""

from __future__ import annotations

import pytest

from flux_actors.log.committer import Committer
from tests.unit.log.watched_log import IDENTITY, WatchedLog


@pytest.fixture
def log() -> WatchedLog:
    return WatchedLog()


@pytest.fixture
def committer(log: WatchedLog) -> Committer:
    return Committer(log, 0, IDENTITY, lambda: 7)
