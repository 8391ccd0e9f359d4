from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from flux_actors.behaviour.watchdog import Watchdog
from tests.unit.behaviour.acting_world import World
from tests.unit.behaviour.homes import PLACEMENTS
from tests.unit.behaviour.working import Worker


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(look_s=0.002)
    yield watchdog
    watchdog.close()


@pytest.fixture
def worker(watchdog: Watchdog) -> Worker:
    return Worker(watchdog)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    yield world
    await world.close()


@pytest.fixture(params=PLACEMENTS)
async def home(request: pytest.FixtureRequest, world: World) -> World:
    await world.deploy(request.param)
    return world
