"""What every `EventLog` and its `Reader` promise (flux_actors/log/ports.py)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.connection import connect
from flux_actors.log.generations import stream_name
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.memory import MemoryLog
from flux_actors.log.ports import LogBounds, Reader, StoredBlock, TracedLog
from tests.contract.conftest import RunningNats

LOG_ID = "this-log"
TIMEOUT_S = 20.0


@dataclass
class Kept:
    """A log and what a test may do to it."""

    log: TracedLog
    trim: Callable[[int], Awaitable[object]]  # forget the blocks of partition 0 before a sequence
    cut_off: Callable[[], Awaitable[object]]  # make it unreachable

    async def fill(self, count: int, partition: int = 0) -> list[int]:
        return [await self.append(b"%d" % number, partition) for number in range(1, count + 1)]

    async def append(self, data: bytes, partition: int = 0, block_id: str | None = None) -> int:
        return await self.log.append(partition, data, block_id or uuid.uuid4().hex, TIMEOUT_S)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    if request.param == "memory":
        yield in_memory()
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    log = JetStreamLog(client)
    await log.create(2, LOG_ID, 1)
    yield Kept(
        log,
        lambda first: client.jetstream().purge_stream(stream_name(0), seq=first),
        client.close,
    )
    await client.close()
    client = await connect(server.access, "cleaner")
    for partition in range(2):
        await client.jetstream().delete_stream(stream_name(partition))
    await client.close()


def in_memory() -> Kept:
    log = MemoryLog(2, LOG_ID)

    async def trim(first: int) -> None:
        log.trim(0, first)

    async def cut_off() -> None:
        log.away = True

    return Kept(log, trim, cut_off)


async def read(reader: Reader, count: int) -> list[StoredBlock]:
    found: list[StoredBlock] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(found) < count:
            found += await reader.pull(TIMEOUT_S)
    return found


def timeless(stored: list[StoredBlock]) -> list[StoredBlock]:
    """Return blocks without when they were stored, which is another time in each run."""
    return [block._replace(stored_us=0) for block in stored]


async def test_a_real_log_says_when_it_took_a_block(kept: Kept) -> None:
    began_us = time.time_ns() // 1_000
    await kept.fill(1)
    (block,) = await read(kept.log.reader(0, 0), 1)
    assert block.stored_us == 0 or began_us - 1 <= block.stored_us <= time.time_ns() // 1_000


async def test_blocks_are_numbered_from_one_in_each_partition(kept: Kept) -> None:
    assert await kept.fill(3) == [1, 2, 3]
    assert await kept.fill(2, partition=1) == [1, 2]
    assert await kept.append(b"4") == 4


async def test_block_is_given_back_as_it_was_stored(kept: Kept) -> None:
    for data in (b"x", bytes(range(256)), b"\r\n" * 9, b"$JS.ACK.x"):
        assert await kept.log.block(0, await kept.append(data)) == data


async def test_largest_block_fits(kept: Kept) -> None:
    data = b"x" * (kept.log.payload_bytes_max - limits.block_overhead_bytes_max)
    sequence = await kept.append(data)
    assert await kept.log.block(0, sequence) == data


async def test_same_block_id_is_stored_once_and_answered_alike(kept: Kept) -> None:
    first = await kept.append(b"first", block_id="id")
    await kept.append(b"between")
    again = await asyncio.gather(*(kept.append(b"again", block_id="id") for _ in range(5)))
    assert set(again) == {first}
    assert (await kept.log.bounds(0)).last == 2
    assert await kept.log.block(0, first) == b"first"


async def test_same_block_id_in_another_partition_is_another_block(kept: Kept) -> None:
    await kept.append(b"zero", 0, "id")
    await kept.append(b"one", 1, "id")
    assert await kept.log.block(1, 1) == b"one"


async def test_blocks_that_race_get_a_sequence_each(kept: Kept) -> None:
    sequences = await asyncio.gather(*(kept.append(b"%d" % number) for number in range(20)))
    assert sorted(sequences) == list(range(1, 21))
    stored = [await kept.log.block(0, sequence) for sequence in sequences]
    assert stored == [b"%d" % number for number in range(20)]


async def test_bounds_are_first_and_last_and_the_id_of_the_log(kept: Kept) -> None:
    empty = await kept.log.bounds(0)
    assert empty.last == 0
    assert empty.last < empty.first
    await kept.fill(3)
    assert await kept.log.bounds(0) == LogBounds(1, 3, LOG_ID)


async def test_trimmed_log_begins_later_and_counts_on(kept: Kept) -> None:
    await kept.fill(3)
    await kept.trim(3)
    assert await kept.log.bounds(0) == LogBounds(3, 3, LOG_ID)
    await kept.trim(4)
    assert await kept.log.bounds(0) == LogBounds(4, 3, LOG_ID)
    assert await kept.append(b"next") == 4


async def test_what_is_forgotten_is_gone_and_no_more(kept: Kept) -> None:
    await kept.fill(5)
    await kept.fill(2, partition=1)
    await kept.log.forget(0, 3)
    assert await kept.log.bounds(0) == LogBounds(3, 5, LOG_ID)
    assert [await kept.log.block(0, sequence) for sequence in (3, 4, 5)] == [b"3", b"4", b"5"]
    assert (await kept.log.bounds(1)).first == 1
    for first in (1, 2, 3):
        await kept.log.forget(0, first)
    assert await kept.log.bounds(0) == LogBounds(3, 5, LOG_ID)
    await kept.log.forget(0, 6)
    assert await kept.log.bounds(0) == LogBounds(6, 5, LOG_ID)
    assert await kept.append(b"next") == 6


async def test_block_id_is_known_though_its_block_was_forgotten(kept: Kept) -> None:
    await kept.append(b"first", block_id="id")
    await kept.append(b"second")
    await kept.log.forget(0, 2)
    assert await kept.append(b"again", block_id="id") == 1
    assert (await kept.log.bounds(0)).last == 2


async def test_reader_goes_on_where_the_log_was_forgotten_behind_it(kept: Kept) -> None:
    await kept.fill(3)
    reader = kept.log.reader(0, 0)
    assert [block.sequence for block in await read(reader, 3)] == [1, 2, 3]
    await kept.log.forget(0, 4)
    await kept.append(b"4")
    assert timeless(await read(reader, 1)) == [StoredBlock(4, b"4", 0)]
    await reader.close()


async def test_usage_grows_with_every_block_and_shrinks_with_what_is_forgotten(kept: Kept) -> None:
    assert await kept.log.usage(0) == (0, 0)
    for _ in range(4):
        await kept.append(bytes(1_000))
    blocks, size_bytes = await kept.log.usage(0)
    assert blocks == 4
    assert 4_000 <= size_bytes <= 5_000
    await kept.log.forget(0, 4)
    assert await kept.log.usage(0) == (1, size_bytes // 4)


async def test_block_that_is_not_there_is_corrupt(kept: Kept) -> None:
    await kept.fill(3)
    await kept.trim(2)
    for sequence in (1, 4, 99):
        with pytest.raises(Corrupt):
            await kept.log.block(0, sequence)
    assert await kept.log.block(0, 2) == b"2"


async def test_reader_gives_the_blocks_behind_a_sequence_in_order(kept: Kept) -> None:
    await kept.fill(5)
    reader = kept.log.reader(0, 2)
    assert [(block.sequence, block.data) for block in await read(reader, 3)] == [
        (3, b"3"),
        (4, b"4"),
        (5, b"5"),
    ]
    await reader.close()


async def test_reader_misses_nothing_of_many_blocks_and_counts_down_what_is_left(kept: Kept) -> None:
    count = 5 * limits.pull_blocks + 3
    await asyncio.gather(*(kept.append(b"%d" % number) for number in range(count)))
    reader = kept.log.reader(0, 0)
    blocks = await read(reader, count)
    assert [block.sequence for block in blocks] == list(range(1, count + 1))
    assert [block.pending for block in blocks] == list(range(count - 1, -1, -1))
    await reader.close()


async def test_reader_waits_for_the_next_block(kept: Kept) -> None:
    await kept.fill(1)
    reader = kept.log.reader(0, 1)
    pulling = asyncio.create_task(read(reader, 1))
    await kept.append(b"new")
    assert timeless(await pulling) == [StoredBlock(2, b"new", 0)]
    await reader.close()


async def test_reader_gives_nothing_when_nothing_came_in_time(kept: Kept) -> None:
    await kept.fill(1, partition=1)
    reader = kept.log.reader(0, 0)
    assert await reader.pull(0.02) == []
    assert await reader.pull(0.02) == []
    await kept.append(b"late")
    assert [block.data for block in await read(reader, 1)] == [b"late"]
    await reader.close()


async def test_readers_do_not_take_blocks_from_each_other(kept: Kept) -> None:
    await kept.fill(3)
    readers = [kept.log.reader(0, after) for after in (0, 0, 1)]
    found = await asyncio.gather(
        *(read(reader, count) for reader, count in zip(readers, (3, 3, 2), strict=True))
    )
    assert [[block.sequence for block in blocks] for blocks in found] == [[1, 2, 3], [1, 2, 3], [2, 3]]
    for reader in readers:
        await reader.close()


async def test_reader_refuses_a_log_that_begins_behind_its_next_block(kept: Kept) -> None:
    await kept.fill(5)
    await kept.trim(4)
    lost = kept.log.reader(0, 2)
    with pytest.raises(Corrupt):
        await read(lost, 1)
    await lost.close()
    reader = kept.log.reader(0, 3)
    assert [block.sequence for block in await read(reader, 2)] == [4, 5]
    await reader.close()


async def test_reader_never_jumps_over_blocks_that_were_lost_while_it_read(kept: Kept) -> None:
    await kept.fill(1)
    reader = kept.log.reader(0, 0)
    assert [block.sequence for block in await read(reader, 1)] == [1]
    await kept.fill(2 * limits.pull_blocks)
    await kept.trim(2 * limits.pull_blocks)
    found = [1]

    async def read_on() -> None:
        while True:
            found.extend(block.sequence for block in await read(reader, 1))

    with pytest.raises(Corrupt):
        await read_on()
    assert found == list(range(1, len(found) + 1))
    assert len(found) < 2 * limits.pull_blocks
    await reader.close()


async def test_log_that_is_away_is_unavailable_in_every_call(kept: Kept) -> None:
    await kept.fill(1)
    await kept.cut_off()
    for attempt in (
        lambda: kept.append(b"x"),
        lambda: kept.log.bounds(0),
        lambda: kept.log.usage(0),
        lambda: kept.log.forget(0, 1),
        lambda: kept.log.block(0, 1),
        lambda: kept.log.reader(0, 0).pull(0.1),
    ):
        with pytest.raises(Unavailable):
            await attempt()


async def test_closing_a_reader_is_quiet_whatever_it_did_before(kept: Kept) -> None:
    unused, used = kept.log.reader(0, 0), kept.log.reader(0, 0)
    await used.pull(0.01)
    for reader in (unused, used, used):
        await reader.close()
    cut = kept.log.reader(0, 0)
    await cut.pull(0.01)
    await kept.cut_off()
    await cut.close()


@pytest.mark.real
async def test_kill_of_the_server_loses_no_block_and_no_block_id(nats_server: RunningNats) -> None:
    client = await connect(nats_server.access, "test")
    log = JetStreamLog(client)
    await log.create(1, LOG_ID, 1)
    try:
        kept = Kept(log, lambda first: asyncio.sleep(0), client.close)
        reader = log.reader(0, 0)
        await kept.append(b"one", block_id="one")
        assert [block.data for block in await read(reader, 1)] == [b"one"]
        await kept.append(b"two", block_id="two")
        nats_server.kill()
        with pytest.raises(Unavailable):
            await log.append(0, b"three", "three", 0.2)
        nats_server.start()
        await until_available(lambda: log.append(0, b"three", "three", 1))
        assert await kept.append(b"two again", block_id="two") == 2
        assert await log.bounds(0) == LogBounds(1, 3, LOG_ID)
        found: list[bytes] = []
        while len(found) < 2:
            found += [block.data for block in await until_available(lambda: reader.pull(1))]
        assert found == [b"two", b"three"]
        await reader.close()
        await client.jetstream().delete_stream(stream_name(0))
    finally:
        await client.close()


async def until_available(attempt: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while True:
            try:
                return await attempt()
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_what_stands_beside_a_block_comes_with_it_and_is_no_part_of_it(kept: Kept) -> None:
    await kept.log.append(0, b"one", "1", TIMEOUT_S, "beside; one")
    await kept.log.append(0, b"one", "1", TIMEOUT_S, "of a retry")
    await kept.log.append(0, b"two", "2", TIMEOUT_S)
    reader = kept.log.reader(0, 0)
    blocks: list[StoredBlock] = []
    while len(blocks) < 2:
        blocks += await reader.pull(TIMEOUT_S)
    await reader.close()
    assert [(block.data, block.beside) for block in blocks] == [(b"one", "beside; one"), (b"two", "")]
    assert await kept.log.block(0, 1) == b"one"
