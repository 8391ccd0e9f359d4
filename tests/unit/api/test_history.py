"""Raw events by their positions: each block is read once, whatever order its answer comes in."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.event import Event
from flux_actors.domain.position import pack
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog
from flux_api.history import raw_events

POSITIONS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), unique=True, max_size=12)


class SlowLog(MemoryLog):
    """A log that counts the blocks it is asked for and answers the last one first."""

    def __init__(self) -> None:
        super().__init__(1)
        self.asked: list[int] = []
        self.under_way = 0

    async def block(self, partition: int, sequence: int) -> bytes:
        self.asked.append(sequence)
        self.under_way += 1
        try:
            for _ in range(10 - sequence):
                await asyncio.sleep(0)
            return await super().block(partition, sequence)
        finally:
            self.under_way -= 1


async def a_log() -> SlowLog:
    """A log of five blocks with four events each."""
    log = SlowLog()
    for sequence in range(1, 6):
        encoded = [encode_event(event_of(sequence, offset)) for offset in range(4)]
        await log.append(0, encode_block(1, sequence, 1, encoded), str(sequence), 1.0)
    return log


def event_of(sequence: int, offset: int) -> Event:
    properties = {"big": 2**64 - 1, "text": "ü", "half": 0.5, "no": None}
    return Event("n/e", properties, f"{sequence}.{offset}", False, "source", "stream", 5, "key")


@given(POSITIONS)
async def test_it_is_the_events_in_the_order_asked_and_each_block_is_read_once(positions):
    log = await a_log()
    body = await raw_events(log, 0, [pack(*position) for position in positions])
    assert body == msgspec.json.encode([event_of(*position).public() for position in positions])
    assert sorted(log.asked) == sorted({sequence for sequence, _ in positions})


async def test_none_at_all_is_an_empty_array_and_reads_nothing():
    log = await a_log()
    assert (await raw_events(log, 0, []), log.asked) == (b"[]", [])


async def test_blocks_are_asked_for_all_at_once():
    log = await a_log()
    reading = asyncio.create_task(raw_events(log, 0, [pack(sequence, 0) for sequence in range(1, 6)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log.under_way == 5
    assert len(json.loads(await reading)) == 5


@pytest.mark.parametrize(
    "fault", [Unavailable("away"), Corrupt("gone")], ids=lambda fault: type(fault).__name__
)
async def test_one_block_that_cannot_be_read_fails_all_and_ends_the_other_reads(fault):
    log = await a_log()
    log.trim(0, 5)

    class Failing(SlowLog):
        async def block(self, partition: int, sequence: int) -> bytes:
            if sequence == 5:
                raise fault
            return await super().block(partition, sequence)

    failing = Failing()
    with pytest.raises(type(fault)):
        await raw_events(failing, 0, [pack(5, 0), pack(1, 0), pack(2, 0)])
    await asyncio.sleep(0)
    assert failing.under_way == 0


async def test_a_position_behind_the_end_of_its_block_is_corrupt():
    with pytest.raises(Corrupt):
        await raw_events(await a_log(), 0, [pack(1, 4)])
