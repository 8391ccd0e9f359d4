from __future__ import annotations

from collections.abc import Iterator

import pytest

from flux_actors.behaviour.watchdog import Watchdog
from tests.unit.behaviour.working import Worker


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(look_s=0.002)
    yield watchdog
    watchdog.close()


@pytest.fixture
def worker(watchdog: Watchdog) -> Worker:
    return Worker(watchdog)
