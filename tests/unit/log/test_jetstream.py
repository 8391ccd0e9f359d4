"""How the log reads JetStream's answers; what it stores is asked in tests/contract."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import nats.errors
import nats.js.errors
import pytest

from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.jetstream import JetStreamLog
from tests.unit.log.fake_nats import FakeNats


def answered(data: bytes, headers: dict[str, str] | None = None) -> SimpleNamespace:
    return SimpleNamespace(data=data, headers=headers)


@pytest.fixture
def server() -> FakeNats:
    return FakeNats()


@pytest.fixture
def log(server: FakeNats) -> JetStreamLog:
    return JetStreamLog(server)  # type: ignore[arg-type]


async def test_append_names_the_block_and_the_stream_it_must_land_in(
    server: FakeNats, log: JetStreamLog
) -> None:
    server.answer = answered(b'{"stream":"FLUX_EVENTS_2","seq":7,"duplicate":true}')
    assert await log.append(2, b"block", "id-1", 1) == 7
    headers = {"Nats-Msg-Id": "id-1", "Nats-Expected-Stream": "FLUX_EVENTS_2"}
    assert server.requests == [("flux.events.2", b"block", headers)]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"+OK",
        b"{}",
        b"[]",
        b'{"stream":"FLUX_EVENTS_0"}',
        b'{"error":{"code":503,"description":"insufficient resources"}}',
        b'{"error":{"code":503},"seq":3}',
        b'{"seq":"7"}',
        b"\xff",
    ],
)
async def test_append_without_a_clear_word_is_not_durable(
    server: FakeNats, log: JetStreamLog, answer: bytes
) -> None:
    server.answer = answered(answer)
    with pytest.raises(Unavailable):
        await log.append(0, b"block", "id", 1)


FAULTS = [
    nats.errors.NoRespondersError(),
    nats.errors.ConnectionClosedError(),
    nats.errors.OutboundBufferLimitError(),
    nats.js.errors.ServiceUnavailableError(),
    TimeoutError(),
    ConnectionResetError(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_log_that_is_away_is_unavailable(server: FakeNats, log: JetStreamLog, fault: Exception) -> None:
    server.fault = fault
    for attempt in (
        lambda: log.append(0, b"x", "id", 1),
        lambda: log.bounds(0),
        lambda: log.block(0, 1),
    ):
        with pytest.raises(Unavailable):
            await attempt()


async def test_bounds_of_a_stream_that_is_not_there_are_corrupt(server: FakeNats, log: JetStreamLog) -> None:
    server.fault = nats.js.errors.NotFoundError()
    with pytest.raises(Corrupt, match="no stream FLUX_EVENTS_4"):
        await log.bounds(4)


async def test_bounds_of_a_stream_that_flux_did_not_make_have_no_log_id(log: JetStreamLog) -> None:
    assert (await log.bounds(0)).log_id == ""


async def test_block_is_asked_for_by_sequence(server: FakeNats, log: JetStreamLog) -> None:
    server.answer = answered(b"block", {"Nats-Sequence": "5"})
    assert await log.block(1, 5) == b"block"
    assert server.requests == [("$JS.API.DIRECT.GET.FLUX_EVENTS_1", b'{"seq":5}', None)]


async def test_block_that_is_gone_is_corrupt(server: FakeNats, log: JetStreamLog) -> None:
    server.answer = answered(b"", {"Status": "404"})
    with pytest.raises(Corrupt, match="block 5"):
        await log.block(1, 5)


@pytest.mark.parametrize("headers", [None, {}, {"Status": "408"}, {"Nats-Sequence": "6"}])
async def test_block_that_was_not_asked_for_is_not_taken(
    server: FakeNats, log: JetStreamLog, headers: dict[str, str] | None
) -> None:
    server.answer = answered(b"other", headers)
    with pytest.raises(Unavailable):
        await log.block(1, 5)


async def test_blocks_are_asked_for_together_and_a_failed_read_gives_its_place_back(
    server: FakeNats, log: JetStreamLog
) -> None:
    for answer, fault in ((b"", Corrupt), (b"block", None)) * 20:
        server.answer = answered(answer, {"Status": "404"} if fault else {"Nats-Sequence": "5"})
        reads = await asyncio.gather(*(log.block(0, 5) for _ in range(9)), return_exceptions=True)
        assert all(isinstance(read, fault) if fault else read == b"block" for read in reads)


def test_largest_message_is_that_of_the_server(server: FakeNats, log: JetStreamLog) -> None:
    assert log.payload_bytes_max == server.max_payload
