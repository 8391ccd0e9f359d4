"""Fences: a door is past a change once all that it had taken before is settled, and says so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryBus
from flux_actors.log.ports import DOORS_SUBJECT
from flux_api.fences import Fences
from flux_api.hub import Hub
from flux_api.metrics import DoorBeat, Metrics, _decode, _encode
from tests.unit.api.standing import settle, until


class Tenants:
    """A store's revision as a door knows it, and who is told when it changes."""

    def __init__(self):
        self.revision = 3
        self._listeners = []

    def listen(self, changed):
        self._listeners.append(changed)

    def move(self, revision):
        self.revision = revision
        for changed in self._listeners:
            changed()


@pytest.fixture
def tenants():
    return Tenants()


@pytest.fixture
def committer():
    return SimpleNamespace(taken_total=0, settled_total=0)


@pytest.fixture
def bus():
    return MemoryBus()


@pytest.fixture
def metrics(bus):
    return Metrics("door", bus, Hub(), [])


@pytest.fixture
def fences(tenants, committer, metrics):
    return Fences(tenants, [committer], metrics)


async def test_a_door_begins_where_it_has_read_to(fences):
    await fences.everywhere(3)


async def test_it_moves_when_what_it_had_taken_is_settled_and_not_before(fences, tenants, committer, metrics):
    committer.taken_total, committer.settled_total = 5, 4
    tenants.move(4)
    await asyncio.sleep(0.03)
    assert metrics.fence == 3
    committer.taken_total = 9  # what it takes from now on goes by the change
    committer.settled_total = 5
    await asyncio.wait_for(fences.everywhere(4), 5)
    assert metrics.fence == 4


async def test_changes_that_come_meanwhile_are_reached_as_well(fences, tenants, committer, metrics):
    committer.taken_total = 1
    tenants.move(4)
    await settle()
    tenants.move(5)
    committer.settled_total = 1
    await asyncio.wait_for(fences.everywhere(5), 5)
    tenants.move(6)
    await asyncio.wait_for(fences.everywhere(6), 5)


async def test_the_other_doors_are_told_at_once(fences, tenants, bus):
    heard = []

    async def hear(data):
        heard.append(_decode(data))

    await bus.subscribe(DOORS_SUBJECT, hear)
    tenants.move(4)
    await until(lambda: heard)
    assert heard == [DoorBeat("door", 0, 4)]


async def test_others_are_waited_for_and_a_door_that_stays_behind_is_told(
    fences, tenants, metrics, monkeypatch
):
    tenants.move(4)
    await metrics._on_beat(_encode(DoorBeat("other", 0, 3)))  # noqa: SLF001
    monkeypatch.setattr(limits, "tenancy_everywhere_s", 0.03)
    with pytest.raises(Unavailable, match="not every door"):
        await fences.everywhere(4)
    await metrics._on_beat(_encode(DoorBeat("other", 0, 4)))  # noqa: SLF001
    await asyncio.wait_for(fences.everywhere(4), 5)


async def test_a_bus_that_is_away_keeps_nobody_from_moving(fences, tenants, metrics, monkeypatch):
    async def away(*_):
        raise Unavailable("the bus is away")

    monkeypatch.setattr(metrics, "beat", away)
    tenants.move(4)
    await asyncio.wait_for(fences.everywhere(4), 5)
    fences.close()


async def test_one_that_is_closed_moves_no_further(fences, tenants, committer, metrics):
    committer.taken_total = 1
    tenants.move(4)
    await settle()
    fences.close()
    committer.settled_total = 1
    await asyncio.sleep(0.03)
    assert metrics.fence == 3
