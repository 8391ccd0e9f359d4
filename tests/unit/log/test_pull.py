from __future__ import annotations

import asyncio
import json

import nats.errors
import nats.js.errors
import pytest

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.ports import StoredBlock
from flux_actors.log.pull import JetStreamReader
from tests.unit.log.fake_nats import FakeNats
from tests.unit.log.virtual_clock import on_virtual_clock, settled


@pytest.fixture
def server() -> FakeNats:
    return FakeNats()


def reader_of(server: FakeNats, after: int = 0) -> JetStreamReader:
    return JetStreamReader(server, server, "STREAM", after)  # type: ignore[arg-type]


async def opened(server: FakeNats, after: int = 0) -> JetStreamReader:
    reader = reader_of(server, after)
    assert await reader.pull(0.1) == []
    return reader


def sequences(blocks: list[StoredBlock]) -> list[int]:
    return [block.sequence for block in blocks]


@on_virtual_clock
async def test_reader_begins_right_behind_the_last_block_it_was_told_of(server: FakeNats) -> None:
    reader = await opened(server, after=7)
    await server.deliver(8, 9, pending=3)
    stored_us = 1_700_000_000_000_000
    expected = [StoredBlock(number, b"%d" % number, 3, stored_us=stored_us) for number in (8, 9)]
    assert await reader.pull(1) == expected
    assert [config.opt_start_seq for config in server.consumers] == [8]


@on_virtual_clock
async def test_pull_waits_for_the_first_block_and_no_longer_than_it_was_told(server: FakeNats) -> None:
    reader = reader_of(server)
    assert await reader.pull(3) == []
    assert asyncio.get_running_loop().time() == 3
    pulling = asyncio.create_task(reader.pull(60))
    await settled()
    await server.deliver(1)
    assert sequences(await pulling) == [1]
    assert asyncio.get_running_loop().time() == 3


@on_virtual_clock
async def test_block_that_came_before_is_dropped(server: FakeNats) -> None:
    reader = await opened(server, after=2)
    await server.deliver(1, 2, 3, 3, 2, 4)
    assert sequences(await reader.pull(1)) == [3, 4]


@on_virtual_clock
async def test_gap_is_never_handed_out_and_read_again_from_the_log(server: FakeNats) -> None:
    reader = await opened(server)
    await server.deliver(1, 2, 4, 5)
    assert sequences(await reader.pull(1)) == [1, 2]
    pulling = asyncio.create_task(reader.pull(1))
    await settled()
    assert [config.opt_start_seq for config in server.consumers] == [1, 3]
    assert server.subscriptions[0].ended
    assert server.deleted == ["consumer1"]
    await server.deliver(3, 4, 5)
    assert sequences(await pulling) == [3, 4, 5]


@on_virtual_clock
async def test_reader_asks_again_when_half_of_its_credit_was_used(server: FakeNats) -> None:
    reader = await opened(server)
    half = limits.pull_blocks // 2
    await server.deliver(*range(1, half))
    await reader.pull(1)
    assert len(server.asked) == 1
    await server.deliver(half)
    await reader.pull(1)
    await reader.pull(0.1)
    assert len(server.asked) == 2
    subject, body, reply = server.asked[-1]
    assert subject == "$JS.API.CONSUMER.MSG.NEXT.STREAM.consumer1"
    assert reply == server.subscriptions[-1].subject
    assert json.loads(body) == {"batch": limits.pull_blocks, "expires": limits.pull_expires_s * 1e9}


@on_virtual_clock
async def test_credit_that_expired_is_asked_for_again(server: FakeNats) -> None:
    reader = await opened(server, after=server.last)
    await server.tell(Status="408", Nats_Pending_Messages=str(limits.pull_blocks))
    await reader.pull(0.1)
    await reader.pull(0.1)
    assert len(server.asked) == 2
    assert len(server.consumers) == 1


@on_virtual_clock
async def test_newest_block_that_was_lost_on_the_way_is_read_again(server: FakeNats) -> None:
    reader = await opened(server, after=server.last)
    server.last += 1
    assert await reader.pull(0.1) == []
    await server.tell(Status="408", Nats_Pending_Messages=str(limits.pull_blocks - 1))
    pulling = asyncio.create_task(reader.pull(60))
    await settled()
    assert [config.opt_start_seq for config in server.consumers] == [10, 10]
    await server.deliver(10)
    assert sequences(await pulling) == [10]


@on_virtual_clock
async def test_block_that_comes_while_the_reader_looks_was_not_lost(server: FakeNats) -> None:
    reader = await opened(server, after=server.last)
    server.last += 1
    await server.tell(Status="408", Nats_Pending_Messages=str(limits.pull_blocks))
    await server.deliver(10)
    assert sequences(await reader.pull(1)) == [10]
    assert len(server.consumers) == 1


@pytest.mark.parametrize("status", ["409", "404", "503", "400"])
def test_consumer_that_ended_is_made_anew(server: FakeNats, status: str) -> None:
    @on_virtual_clock
    async def run() -> None:
        reader = await opened(server)
        await server.deliver(1)
        assert sequences(await reader.pull(1)) == [1]
        await server.tell(Status=status)
        await reader.pull(0.1)
        await reader.pull(0.1)
        assert [config.opt_start_seq for config in server.consumers] == [1, 2]

    run()


@on_virtual_clock
async def test_reconnect_makes_a_new_consumer(server: FakeNats) -> None:
    reader = await opened(server, after=4)
    server.stats["reconnects"] += 1
    await reader.pull(0.1)
    await reader.pull(0.1)
    assert [config.opt_start_seq for config in server.consumers] == [5, 5]


@on_virtual_clock
async def test_long_silence_makes_a_new_consumer_and_a_short_one_does_not(server: FakeNats) -> None:
    reader = await opened(server)
    await reader.pull(limits.pull_expires_s)
    assert len(server.consumers) == 1
    await asyncio.sleep(3)
    await reader.pull(0.1)
    assert len(server.consumers) == 2


@on_virtual_clock
async def test_log_that_begins_behind_the_next_block_is_corrupt(server: FakeNats) -> None:
    server.first = 5
    with pytest.raises(Corrupt, match="begins at 5; block 4 is gone"):
        await reader_of(server, after=3).pull(1)
    assert await reader_of(server, after=4).pull(0.1) == []


@on_virtual_clock
async def test_log_that_lost_its_next_block_while_it_was_read_is_corrupt(server: FakeNats) -> None:
    reader = await opened(server)
    server.first = 3
    await server.deliver(3)
    with pytest.raises(Corrupt, match="block 1 is gone"):
        await read_on(reader)


async def read_on(reader: JetStreamReader) -> None:
    for _ in range(2):
        assert await reader.pull(1) == []


@on_virtual_clock
async def test_stream_that_is_not_there_is_corrupt(server: FakeNats) -> None:
    server.fault = nats.js.errors.NotFoundError()
    with pytest.raises(Corrupt, match="no stream STREAM"):
        await reader_of(server).pull(1)


@on_virtual_clock
async def test_stream_that_lost_its_end_under_a_reader_is_corrupt(server: FakeNats) -> None:
    reader = await opened(server, after=7)
    server.last = 5
    await lose(server, "reconnect")
    with pytest.raises(Corrupt, match="ends at 5, before block 7 that was read"):
        await reader.pull(1)


@pytest.mark.parametrize(
    "fault", [nats.errors.ConnectionClosedError(), nats.js.errors.ServiceUnavailableError(), TimeoutError()]
)
@pytest.mark.parametrize("way", ["reconnect", "silence", "end of the consumer"])
def test_server_that_is_away_is_unavailable_and_the_reader_goes_on_when_it_is_back(
    server: FakeNats, way: str, fault: Exception
) -> None:
    @on_virtual_clock
    async def run() -> None:
        reader = await opened(server)
        await server.deliver(1)
        await reader.pull(1)
        await lose(server, way)
        server.fault = fault
        for _ in range(3):
            with pytest.raises(Unavailable):
                await reader.pull(1)
        server.fault = None
        pulling = asyncio.create_task(reader.pull(1))
        await settled()
        assert server.consumers[-1].opt_start_seq == 2
        await server.deliver(2)
        assert sequences(await pulling) == [2]

    run()


async def lose(server: FakeNats, way: str) -> None:
    """Give the reader a reason to make a new consumer."""
    match way:
        case "reconnect":
            server.stats["reconnects"] += 1
        case "silence":
            await asyncio.sleep(2 * limits.pull_expires_s)
        case "end of the consumer":
            await server.tell(Status="409")


@on_virtual_clock
async def test_server_that_goes_away_between_two_requests_is_unavailable(server: FakeNats) -> None:
    reader = await opened(server)
    await server.deliver(*range(1, limits.pull_blocks + 1))
    server.fault = nats.errors.ConnectionClosedError()
    with pytest.raises(Unavailable):
        await reader.pull(1)
    server.fault = None
    pulling = asyncio.create_task(reader.pull(1))
    await settled()
    await server.deliver(1, 2)
    assert sequences(await pulling) == [1, 2]


@on_virtual_clock
async def test_pull_returns_about_as_much_as_is_applied_in_one_go(
    server: FakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "pull_bytes_apply_max", 3)
    reader = await opened(server)
    await server.deliver(*range(1, 6))
    assert sequences(await reader.pull(1)) == [1, 2, 3]
    assert sequences(await reader.pull(1)) == [4, 5]


@on_virtual_clock
async def test_closing_gives_the_consumer_back_and_may_be_repeated(server: FakeNats) -> None:
    reader = await opened(server)
    await reader.close()
    await reader.close()
    assert server.deleted == ["consumer1"]
    assert server.subscriptions[0].ended


@on_virtual_clock
async def test_closing_an_unused_reader_or_one_without_a_server_is_quiet(server: FakeNats) -> None:
    await reader_of(server).close()
    reader = await opened(server)
    server.fault = nats.errors.TimeoutError()
    await reader.close()
    server.fault = None
    other = await opened(server)
    server.is_closed = True
    await other.close()
    assert server.deleted == []
