"""One large answer: when its first byte comes, when its last."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final, cast

from flux_bench.generator.http import body_of, get, is_whole, status_of
from flux_bench.generator.jobs import Failed, Fetch, Told

_ANSWER_S: Final = 120.0
_END: Final = b"\r\n\r\n"
_LAST_BYTES: Final = 5


class _Fetching(asyncio.Protocol):
    """Collects an answer; the body's first byte is what counts, for a head alone shows nothing."""

    def __init__(self, request: bytes) -> None:
        self.parts: list[bytes] = []
        self.first_byte_at = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._head = b""
        self._tail = b""
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self._received += len(data)
        if not self.first_byte_at:
            self._head += data
            if self._head.partition(_END)[2]:
                self.first_byte_at = perf_counter()
        self._tail = (self._tail + data[-_LAST_BYTES:])[-_LAST_BYTES:]  # the end may come in two reads
        if is_whole(self._head, self._tail, self._received) and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(Failed("the server closed the connection within its answer"))


async def fetch(job: Fetch) -> Told:
    """Fetch once."""
    loop = asyncio.get_running_loop()
    fetching = _Fetching(get(job.place.name, job.path))
    started = perf_counter()
    transport, _ = await loop.create_connection(cast("Any", lambda: fetching), job.place.host, job.place.port)
    try:
        await asyncio.wait_for(fetching.ended, _ANSWER_S)
    except TimeoutError:
        raise Failed(f"the answer was not complete after {_ANSWER_S:.0f} s") from None
    finally:
        transport.close()
    seconds = perf_counter() - started
    answer = b"".join(fetching.parts)
    if status_of(answer) != 200:
        raise Failed(f"GET {job.path} was answered {answer[:300].decode(errors='replace')!r}")
    first_byte_s = fetching.first_byte_at - started
    return Told([1], 1, seconds, bodies=[body_of(answer)], first_byte_s=first_byte_s)
