"""The metrics message: totals, the rate of the last seconds, sockets of all doors, active publishers."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.memory import MemoryBus
from flux_actors.log.ports import DOORS_SUBJECT
from flux_api import metrics as metrics_module
from flux_api.hub import Hub
from flux_api.metrics import DoorBeat, Metrics
from flux_api.watcher import Watcher
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import settle, until


@dataclass
class Clock:
    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return 1_500_000_000


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(metrics_module, "time", clock)
    return clock


@pytest.fixture
def bus():
    return MemoryBus()


@pytest.fixture
def parts():
    return [PartitionFeed(0), PartitionFeed(1)]


@pytest.fixture
def watcher():
    return Watcher(FakeLink())


@pytest.fixture
async def metrics(clock, bus, parts, watcher, monkeypatch):
    """Metrics that tell only when a test opens them."""
    monkeypatch.setattr(limits, "metrics_every_s", 0.0)
    hub = Hub()
    hub.join(watcher)
    return Metrics("this", bus, hub, parts)


async def told(metrics, watcher, clock, after_s=0.0):
    """Return the first message after `after_s` more seconds."""
    clock.now += after_s
    watcher.link.take()
    await metrics.open()
    try:
        await until(lambda: watcher.link.written)
        return watcher.link.take()[0]
    finally:
        await metrics.close()
        await settle()


async def test_it_tells_totals_of_all_partitions(metrics, watcher, clock, parts):
    parts[0].entities, parts[1].entities = 3, 4
    parts[0].events_total, parts[1].events_total = 10, 20
    metrics.on_sources(["thermometer", "door"])
    assert await told(metrics, watcher, clock) == {
        "type": "metrics_update",
        "timestamp": "1970-01-01T00:00:01.500000+00:00",
        "entities": {"total": 7},
        "events": {"total": 30, "rate_per_second": 0.0},
        "websocket": {"connections": 1},
        "publishers": {"active": 2},
    }


async def test_the_rate_is_of_the_last_seconds(metrics, watcher, clock, parts):
    parts[0].sequence = parts[1].sequence = 1
    await told(metrics, watcher, clock)
    for total in (20, 40):
        parts[0].events_total = total
        message = await told(metrics, watcher, clock, after_s=2.0)
    assert message["events"]["rate_per_second"] == 10.0
    for _ in range(4):
        message = await told(metrics, watcher, clock, after_s=2.0)
    assert message["events"]["rate_per_second"] == 0.0


async def test_a_door_that_has_just_come_up_does_not_take_the_past_for_the_present(
    metrics, watcher, clock, parts
):
    await told(metrics, watcher, clock)
    for part in parts:
        part.sequence, part.events_total = 9, 500_000
    message = await told(metrics, watcher, clock, after_s=2.0)
    assert message["events"] == {"total": 1_000_000, "rate_per_second": 0.0}


async def test_sockets_of_other_doors_count_until_they_fall_silent(metrics, watcher, clock, bus):
    await metrics.open()
    for door, connections in (("other", 5), ("third", 2), ("other", 7), ("this", 99)):
        await bus.publish(DOORS_SUBJECT, msgspec.msgpack.encode(DoorBeat(door, connections)))
    await settle()
    await metrics.close()
    assert (metrics.connections(), metrics.doors()) == (1 + 7 + 2, 3)
    clock.now += 7
    assert (metrics.connections(), metrics.doors()) == (1, 1)


async def test_each_door_tells_the_others_how_many_sockets_it_has(metrics, bus, watcher, clock):
    beats = []

    async def receive(data):
        beats.append(msgspec.msgpack.decode(data, type=DoorBeat))

    await bus.subscribe(DOORS_SUBJECT, receive)
    await told(metrics, watcher, clock)
    assert beats[0] == DoorBeat("this", 1)


async def test_a_publisher_is_active_for_a_minute(metrics, clock):
    metrics.on_sources(["early", "late"])
    clock.now += 59
    metrics.on_sources(["late"])
    assert json.loads(metrics.snapshot())["publishers"] == {"active": 2}
    clock.now += 2
    assert json.loads(metrics.snapshot())["publishers"] == {"active": 1}


async def test_no_more_publishers_are_remembered_than_the_bound(metrics, monkeypatch):
    monkeypatch.setattr(metrics_module, "_SOURCES_MAX", 3)
    metrics.on_sources([f"source-{number}" for number in range(10)])
    assert json.loads(metrics.snapshot())["publishers"] == {"active": 3}


async def test_it_goes_on_while_the_bus_is_away(metrics, bus, watcher, monkeypatch):
    async def away(*_):
        raise Unavailable("the bus cannot be reached")

    monkeypatch.setattr(bus, "publish", away)
    await metrics.open()
    await until(lambda: len(watcher.link.written) >= 2)
    await metrics.close()


async def test_entities_of_private_namespaces_are_left_out_of_the_total(bus, parts, watcher, monkeypatch):
    monkeypatch.setattr(limits, "metrics_every_s", 0.0)
    hidden = [3, Unavailable("a shard is away"), TimeoutError(), 4]

    async def count():
        outcome = hidden.pop(0) if len(hidden) > 1 else hidden[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    hub = Hub()
    hub.join(watcher)
    parts[0].entities, parts[1].entities = 5, 6
    metrics = Metrics("door", bus, hub, parts, count)
    await metrics.open()
    await until(lambda: len(watcher.link.written) >= 4)
    await metrics.close()
    totals = [message["entities"]["total"] for message in watcher.link.take()[:4]]
    assert totals == [8, 8, 8, 7]
