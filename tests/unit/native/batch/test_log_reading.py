"""Reading a span: every block once and in order, few at once when they are large, through short absences."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from flux_actors import limits
from flux_actors.domain.position import Packed, pack
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryLog
from flux_actors.native.batch import log_reading
from flux_actors.native.batch.log_reading import blocks_of
from flux_actors.native.batch.spans import Span
from tests.unit.native.batch.writing import event, write
from tests.unit.shard.hosting import NEWER_BLOCK, TORN_BLOCK


async def log_with(blocks, text=""):
    log = MemoryLog(1)
    for number in range(1, blocks + 1):
        await write(log, [event("a/1", {"n": number, "text": text})])
    return log


async def read(log, span):
    return [found async for found in blocks_of(log, span)]


class Counted:
    """A log that tells how many blocks were asked for at once, at most."""

    def __init__(self, log):
        self.log, self.now, self.most = log, 0, 0

    async def block(self, partition, sequence):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return await self.log.block(partition, sequence)


async def test_every_block_of_a_span_in_order():
    log = await log_with(200)
    found = await read(log, Span(0, pack(3, 5), Packed(pack(190, 0) + 1)))
    assert [one.sequence for one in found] == list(range(3, 191))
    assert [one.block.events[0].properties["n"] for one in found] == list(range(3, 191))
    assert found[0].size_bytes == len(await log.block(0, 3))


async def test_an_empty_span_asks_for_nothing():
    assert await read(MemoryLog(1), Span(0, pack(1, 0), pack(1, 0))) == []


async def test_small_blocks_are_read_many_at_once_and_large_ones_few():
    small = Counted(await log_with(300))
    await read(small, Span(0, pack(1, 0), pack(301, 0)))
    assert small.most == limits.read_blocks_max
    large = Counted(await log_with(20, "x" * (limits.history_read_bytes // 3)))
    await read(large, Span(0, pack(1, 0), pack(21, 0)))
    assert large.most == 2


async def test_nothing_is_on_its_way_while_nobody_reads():
    log = Counted(await log_with(100))
    async with aclosing(blocks_of(log, Span(0, pack(1, 0), pack(101, 0)))) as blocks:
        async for _ in blocks:
            assert log.now == 0


async def test_what_is_no_block_is_passed_over():
    log = await log_with(1)
    await log.append(0, TORN_BLOCK, "torn", 1.0)
    await write(log, [event("a/1", {"n": 3})])
    found = await read(log, Span(0, pack(1, 0), pack(4, 0)))
    assert [one.sequence for one in found] == [1, 3]


async def test_a_block_of_a_later_version_is_not():
    log = await log_with(1)
    await log.append(0, NEWER_BLOCK, "newer", 1.0)
    with pytest.raises(Corrupt, match="upgrade"):
        await read(log, Span(0, pack(1, 0), pack(3, 0)))


async def test_a_log_that_comes_back_is_read_on(monkeypatch):
    monkeypatch.setattr(log_reading, "_RETRY_S", 0.001)
    log = await log_with(3)
    log.away = True
    asyncio.get_running_loop().call_later(0.01, setattr, log, "away", False)
    assert len(await read(log, Span(0, pack(1, 0), pack(4, 0)))) == 3


async def test_a_log_that_stays_away_fails(monkeypatch):
    monkeypatch.setattr(limits, "history_patience_s", 0.0)
    log = await log_with(3)
    log.away = True
    with pytest.raises(Unavailable):
        await read(log, Span(0, pack(1, 0), pack(4, 0)))


async def test_a_log_that_was_trimmed_meanwhile_says_so():
    log = await log_with(9)
    log.trim(0, 5)
    with pytest.raises(Refused, match="trimmed") as refused:
        await read(log, Span(0, pack(4, 0), pack(9, 0)))
    assert refused.value.status == 410


async def test_a_block_that_is_lost_is_told_as_such():
    log = await log_with(9)
    log.lose(0, 5)
    with pytest.raises(Corrupt, match="block 5"):
        await read(log, Span(0, pack(4, 0), pack(9, 0)))
