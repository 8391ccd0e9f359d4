"""A socket or a connection whose messages are awaited one by one: for all that is not counted in millions."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, cast

import msgspec

from flux_bench.generator.frames import FrameReader, frame, handshake
from flux_bench.generator.http import INCOMPLETE, answer_size
from flux_bench.generator.jobs import Failed, Place

_ANSWER_S: Final = 20.0
_SWITCHED: Final = b"HTTP/1.1 101"


class Channel(asyncio.Protocol):
    """What came waits in `got`; `take` awaits the next."""

    def __init__(self) -> None:
        self.got: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    async def open(self, place: Place) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(cast("Any", lambda: self), place.host, place.port)
        except OSError as error:
            raise Failed(f"cannot connect to {place.name}: {error.strerror}") from None

    async def take(self) -> bytes:
        """Return the next message."""
        while not self.got:
            if self._lost:
                raise Failed("the server closed a connection instead of answering")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._waiter, _ANSWER_S)
            except TimeoutError:
                raise Failed(f"the server was silent for {_ANSWER_S:.0f} s") from None
        return self.got.popleft()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        cast("asyncio.Transport", self._transport).write(data)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class HttpChannel(Channel):
    """A keep-alive connection with one request at a time."""

    _rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        size = answer_size(data)
        if size == INCOMPLETE or len(data) < size:
            self._rest = data
            return
        self._rest = b""
        self.got.append(data)
        self._wake()

    async def ask(self, request: bytes) -> bytes:
        """Send a request, return the whole answer."""
        self.write(request)
        return await self.take()


class SocketChannel(Channel):
    """A WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        self._reader = FrameReader()
        self._upgraded = False
        self._rest = b""

    async def open(self, place: Place) -> None:
        await super().open(place)
        self.write(handshake(place.name))
        answer = await self.take()
        if not answer.startswith(_SWITCHED):
            raise Failed(f"the server opens no WebSocket at /api/ws: {answer[:100]!r}")

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            data = self._rest + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            self._upgraded = True
            self.got.append(data[: end + 4])
            data = data[end + 4 :]
        self.got.extend(self._reader.messages(data))
        for pong in self._reader.pongs:
            self.write(pong)
        self._reader.pongs.clear()
        if self._reader.closed:
            self._lost = True
        self._wake()

    def say(self, **message: object) -> None:
        """Send one message."""
        self.write(frame(msgspec.json.encode(message)))
