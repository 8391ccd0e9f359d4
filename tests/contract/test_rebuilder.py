"""What every `Rebuilder` promises (flux_actors/log/ports.py): the same blocks at the same sequences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest

from flux_actors.errors import Corrupt, Refused
from flux_actors.log.connection import connect
from flux_actors.log.generations import stream_name
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.memory import MemoryLog, MemoryRebuilder
from flux_actors.log.ports import EventLog, LogBounds, Rebuilder
from flux_actors.log.rebuilding import JetStreamRebuilder
from tests.contract.conftest import RunningNats

LOG_ID = "log-of-these-tests"


@dataclass
class Built:
    """A log that is built anew, and how it is read."""

    rebuilder: Rebuilder
    log: EventLog
    other: Rebuilder
    remove: Callable[[], Awaitable[object]]

    async def blocks(self, after: int) -> list[tuple[int, bytes]]:
        reader = self.log.reader(0, after)
        last = (await self.log.bounds(0)).last
        found: list[tuple[int, bytes]] = []
        async with asyncio.timeout(20):
            while after + len(found) < last:
                found += [(block.sequence, block.data) for block in await reader.pull(1.0)]
        await reader.close()
        return found


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def built(request: pytest.FixtureRequest) -> AsyncIterator[Built]:
    if request.param == "memory":
        log = MemoryLog(2)

        async def remove() -> None:
            log.__init__(2)  # type: ignore[misc]

        yield Built(MemoryRebuilder(log), log, MemoryRebuilder(log), remove)
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    try:
        remove = partial(client.jetstream().delete_stream, stream_name(0))
        yield Built(JetStreamRebuilder(client), JetStreamLog(client), JetStreamRebuilder(client), remove)
        await client.jetstream().delete_stream(stream_name(0))
    finally:
        await client.close()


@pytest.mark.parametrize("first", [1, 2, 501, 1 << 40])
async def test_blocks_stand_where_they_stood(built: Built, first: int) -> None:
    blocks = [b"block %d" % number for number in range(700)]
    await built.rebuilder.make(0, first, LOG_ID)
    assert await built.log.bounds(0) == LogBounds(first, first - 1, LOG_ID)
    await built.rebuilder.append(0, first, blocks[:300])
    await built.rebuilder.append(0, first + 300, blocks[300:])
    assert await built.log.bounds(0) == LogBounds(first, first + 699, LOG_ID)
    assert await built.blocks(first - 1) == list(enumerate(blocks, first))
    assert await built.log.append(0, b"next", "next", 10.0) == first + 700


async def test_log_of_no_blocks_goes_on_where_the_old_one_ended(built: Built) -> None:
    await built.rebuilder.make(0, 7, LOG_ID)
    await built.rebuilder.append(0, 7, [])
    assert await built.log.append(0, b"x", "id", 10.0) == 7
    assert await built.log.bounds(0) == LogBounds(7, 7, LOG_ID)


async def test_blocks_that_are_there_are_not_stored_again(built: Built) -> None:
    await built.rebuilder.make(0, 5, LOG_ID)
    await built.rebuilder.append(0, 5, [b"a", b"b"])
    await built.rebuilder.append(0, 5, [b"a", b"b", b"c"])
    assert await built.blocks(4) == [(5, b"a"), (6, b"b"), (7, b"c")]


async def test_blocks_behind_a_gap_are_corrupt(built: Built) -> None:
    await built.rebuilder.make(0, 5, LOG_ID)
    with pytest.raises(Corrupt, match="ends at 4, not in front of 6"):
        await built.rebuilder.append(0, 6, [b"a"])
    assert await built.log.bounds(0) == LogBounds(5, 4, LOG_ID)


async def test_log_that_is_there_is_not_made_again(built: Built) -> None:
    await built.rebuilder.make(0, 5, LOG_ID)
    with pytest.raises(Refused, match="already"):
        await built.rebuilder.make(0, 1, LOG_ID)
    assert (await built.log.bounds(0)).first == 5


async def test_nothing_is_added_to_what_somebody_else_has_made_in_its_place(built: Built) -> None:
    await built.rebuilder.make(0, 5, LOG_ID)
    await built.rebuilder.append(0, 5, [b"a"])
    await built.remove()
    await built.other.make(0, 5, "another")
    await built.other.append(0, 5, [b"x"])
    with pytest.raises(Refused, match="somebody else"):
        await built.rebuilder.append(0, 6, [b"b"])
    assert await built.rebuilder.bounds(0) == LogBounds(5, 5, "another")


async def test_many_large_blocks_keep_their_order(built: Built) -> None:
    blocks = [bytes([number]) * 900_000 for number in range(24)]
    await built.rebuilder.make(0, 1, LOG_ID)
    await built.rebuilder.append(0, 1, blocks)
    assert [data for _, data in await built.blocks(0)] == blocks
