"""What the twins do beside their contract (tests/contract): faults on demand."""

from __future__ import annotations

import pytest

from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.memory import MemoryBus, MemoryLog
from flux_actors.log.ports import LogBounds
from tests.unit.log.virtual_clock import settled


async def filled(count: int) -> MemoryLog:
    log = MemoryLog(1, "mine")
    for number in range(1, count + 1):
        await log.append(0, b"%d" % number, str(number), 1)
    return log


async def test_log_that_is_away_does_nothing_until_it_is_back() -> None:
    log = await filled(1)
    log.away = True
    for attempt in (
        lambda: log.append(0, b"x", "x", 1),
        lambda: log.bounds(0),
        lambda: log.block(0, 1),
        lambda: log.reader(0, 0).pull(0),
    ):
        with pytest.raises(Unavailable):
            await attempt()
    log.away = False
    assert await log.bounds(0) == LogBounds(1, 1, "mine")


async def test_lost_ack_stores_the_block_and_tells_nobody() -> None:
    log = await filled(0)
    log.lose_acks = 1
    with pytest.raises(Unavailable):
        await log.append(0, b"x", "id", 1)
    assert await log.block(0, 1) == b"x"
    assert await log.append(0, b"x", "id", 1) == 1


async def test_trimmed_log_begins_later() -> None:
    log = await filled(3)
    log.trim(0, 3)
    assert await log.bounds(0) == LogBounds(3, 3, "mine")
    with pytest.raises(Corrupt):
        await log.block(0, 2)
    log.trim(0, 4)
    assert await log.bounds(0) == LogBounds(4, 3, "mine")


async def test_log_that_lost_its_end_goes_on_from_there() -> None:
    log = await filled(3)
    log.cut_off(0, 1)
    assert await log.bounds(0) == LogBounds(1, 1, "mine")
    assert await log.append(0, b"new", "new", 1) == 2


async def test_reader_of_a_log_that_lost_its_end_is_told() -> None:
    log = await filled(3)
    reader = log.reader(0, after=3)
    log.cut_off(0, 1)
    with pytest.raises(Corrupt, match="ends before 3"):
        await reader.pull(0)


async def test_bus_loses_as_many_messages_as_it_was_told() -> None:
    bus = MemoryBus()
    heard: list[bytes] = []

    async def hear(data: bytes) -> None:
        heard.append(data)

    await bus.subscribe("s", hear)
    bus.drop = 2
    for data in (b"1", b"2", b"3"):
        await bus.publish("s", data)
    await settled()
    assert heard == [b"3"]
