"""The generator's closed loop: what it takes for an answer, and what it sends with each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from flux_bench.generator.jobs import Pace, Place, Publish
from flux_bench.generator.load import publish
from flux_bench.workload import Workload

WORK = Workload("n", 1, 1)
Answer = Callable[[int], bytes]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[Place, list[bytes]]]:
    """A server that gives its n-th answer in small pieces; it keeps the heads that it was sent."""
    heads: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
            whole = answer(len(heads))
            for at in range(0, len(whole), 700):
                writer.write(whole[at : at + 700])
                await writer.drain()
                await asyncio.sleep(0)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(quietly, "127.0.0.1", 0) as server:
        yield Place("127.0.0.1", server.sockets[0].getsockname()[1]), heads
        await asyncio.wait_for(asyncio.gather(*tasks), 5)


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n" % (status.encode(), len(body)) + body


def refused_then_taken(number: int) -> bytes:
    return (
        http("429 Too Many Requests", b'{"error":"too many"}')
        if number % 2
        else http("200 OK", b'{"eventId":1}')
    )


@pytest.mark.parametrize("refusable", [True, False])
async def test_an_event_may_be_refused_for_the_limit_where_the_job_says_so(refusable):
    async with answering(refused_then_taken) as (place, _):
        told = await publish(Publish(place, WORK, Pace(requests=4), refusable=refusable))
    assert bool(told.refusal) is not refusable
    assert told.counts == [4 if refusable else 0]


async def test_a_long_answer_is_put_together_from_its_pieces():
    body = b'{"eventId":"' + b"x" * 50_000 + b'"}'
    async with answering(lambda _: http("200 OK", body)) as (place, _):
        told = await publish(Publish(place, WORK, Pace(requests=3)))
    assert (told.counts, told.bodies) == ([3], [body])


async def test_headers_of_the_job_are_sent_and_pauses_are_made():
    async with answering(lambda _: http("200 OK", b'{"eventId":1}')) as (place, heads):
        pace = Pace(requests=3, pause_s=0.02)
        told = await publish(Publish(place, WORK, pace, "Authorization: Bearer t\r\n"))
    assert all(b"\r\nAuthorization: Bearer t\r\n" in head for head in heads)
    assert told.counts == [3]
    assert told.seconds >= 0.04
