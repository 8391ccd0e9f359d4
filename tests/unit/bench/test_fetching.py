"""A large answer: its first byte, its end however it is cut, and what is no answer."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from flux_bench.generator.fetching import fetch
from flux_bench.generator.jobs import Failed, Fetch, Place, Told

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def fetched(*writes: bytes, breaks_off: bool = False) -> Told:
    """Fetch from a server that answers with these writes, each of which arrives by itself."""
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for write in writes:
            writer.write(write)
            await asyncio.sleep(0.002)  # so that it is read by itself; the test holds either way
        if breaks_off:
            writer.close()
        await reader.read()
        writer.close()
        ended.set()

    async def run() -> Told:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            try:
                return await fetch(Fetch(Place("127.0.0.1", port), "/x"))
            finally:
                await ended.wait()

    return uvloop.run(run())


@pytest.mark.parametrize(
    "writes",
    [
        (HEAD + b"3\r\nabc\r\n0\r\n\r\n",),
        (HEAD, b"3\r\nabc\r\n", b"0\r\n", b"\r\n"),
        (HEAD[:20], HEAD[20:] + b"3\r\na", b"bc\r\n0\r", b"\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"a", b"bc"),
    ],
)
def test_the_end_is_found_wherever_the_answer_is_cut(writes: tuple[bytes, ...]):
    told = fetched(*writes)
    assert told.bodies == [b"abc"]
    assert 0 < told.first_byte_s <= told.seconds


def test_an_answer_that_breaks_off_or_is_no_success_fails():
    with pytest.raises(Failed, match="closed the connection within its answer"):
        fetched(HEAD + b"3\r\nab", breaks_off=True)
    with pytest.raises(Failed, match="was answered"):
        fetched(b"HTTP/1.1 503 x\r\nContent-Length: 3\r\n\r\nno\n")
