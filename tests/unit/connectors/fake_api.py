"""A real HTTP server on this machine whose answers a test gives, request by request."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str  # with its query
    headers: dict[str, str]
    connection: int = 0


@dataclass
class Reply:
    """One answer; `raw` replaces all of it, it goes in `pieces`, and `pause_s` comes before each."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    pause_s: float = 0.0
    pieces: int = 1

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Reply:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})

    def bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Any\r\n{head}\r\n".encode() + (
            b"" if self.status == 304 else self.body
        )


Answering = Callable[[Asked], Reply]


class FakeApi:
    """Answers by a function that a test may change at any time; keeps what it was asked."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.port = 0
        self._connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeApi]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for _ in range(5):
                await asyncio.sleep(0)  # a connection that was taken just before comes to its task
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections += 1
        connection = self._connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                pairs = (line.split(":", 1) for line in lines)
                headers = {name.lower(): value.strip() for name, value in pairs}
                asked = Asked(first.split(" ")[1], headers, connection)
                self.asked.append(asked)
                await self._send(self.answer(asked), writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        data = reply.bytes()
        size = -(-len(data) // reply.pieces)
        for begin in range(0, len(data), size):
            if reply.pause_s:
                await asyncio.sleep(reply.pause_s)
            writer.write(data[begin : begin + size])
            await writer.drain()


@contextmanager
def serving_beside(answer: Answering) -> Iterator[FakeApi]:
    """Serve in a thread of its own: the test itself waits for a Flux in other processes."""
    api, ready, done = FakeApi(answer), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with api.serving():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert ready.wait(20)
        yield api
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()
