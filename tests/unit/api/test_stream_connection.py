"""Event streams through the listener: what keeps a connection, what ends it, and its place at the door."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing

import pytest

from flux_actors import limits
from flux_actors.settings import Settings
from flux_api.app import build_app
from flux_api.hot.routes import HotRoutes
from flux_api.listener import Listener
from flux_cluster.ports import free_ports
from tests.server_sent_events import EventSource
from tests.unit.api.standing import DEADLINE_S, event, settle, until

ASK = b"GET /api/stream?prefix=a/ HTTP/1.1\r\nHost: a\r\n\r\n"


class Reader:
    """A client of the door's port."""

    def __init__(self, port: int, *, buffer_bytes: int = 0) -> None:
        self.source = EventSource()
        self.head = b""
        self.chunks = b""
        self.events = []
        self.ended = False
        self._socket = socket.socket()
        if buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    async def ask(self, request=ASK):
        await asyncio.get_running_loop().sock_sendall(self._socket, request)
        while b"\r\n\r\n" not in self.head:
            self.head += await self._receive()
        self.head, _, self.chunks = self.head.partition(b"\r\n\r\n")
        return int(self.head.split(b" ")[1])

    async def read(self):
        """Take what comes next."""
        self.chunks += await self._receive()
        while b"\r\n" in self.chunks:
            size, _, rest = self.chunks.partition(b"\r\n")
            if len(rest) < int(size, 16) + 2:
                return
            self.ended = self.ended or int(size, 16) == 0
            self.events += self.source.feed(rest[: int(size, 16)])
            self.chunks = rest[int(size, 16) + 2 :]

    def close(self):
        self._socket.close()

    async def _receive(self):
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.get_running_loop().sock_recv(self._socket, 65_536)


@pytest.fixture(params=["plain", "hot"])
async def listener(request, standing):
    """A door's listener with room for one stream; `port` is where."""
    (port,) = free_ports(1)
    hot = HotRoutes(standing.door) if request.param == "hot" else None
    listener = Listener(
        build_app(standing.door.settings, standing.door), Settings(port=port, sockets_max=1), hot
    )
    listener.port = port
    await listener.open()
    yield listener
    if listener.listens:
        await listener.close()


@pytest.fixture
async def reader(listener, standing):
    with closing(Reader(listener.port)) as reader:
        assert await reader.ask() == 200
        await until(lambda: standing.door.hub.watchers)
        yield reader


def connections(listener):
    return list(listener._server.server_state.connections)  # noqa: SLF001 - as the listener looks at them


def look(listener, later_s):
    for connection in connections(listener):
        connection.look(connection.loop.time() + later_s)


async def test_it_is_told_what_happens(standing, reader):
    await standing.publish(event("a/1", {"v": 1}))
    while not reader.events:
        await reader.read()
    assert [json.loads(e.data)["value"] for e in reader.events] == [1]
    assert b"transfer-encoding: chunked" in reader.head


async def test_one_to_whom_nothing_happens_stays(listener, standing, reader):
    for minutes in range(1, 60):
        look(listener, 60 * minutes)
    await settle()
    (connection,) = connections(listener)
    assert not connection.transport.is_closing()
    await standing.publish(event("a/1", {"v": 1}))
    while not reader.events:
        await reader.read()


async def test_one_that_takes_nothing_is_cut_off(listener, standing):
    with closing(Reader(listener.port, buffer_bytes=4_096)) as reader:
        assert await reader.ask() == 200
        (connection,) = connections(listener)
        async with asyncio.timeout(DEADLINE_S):
            while not connection.transport.get_write_buffer_size():
                await standing.publish(*(event("a/1", {"v": "x" * 200_000, "n": n}) for n in range(5)))
        look(listener, 1)
        look(listener, limits.stalled_s)
        assert not connection.transport.is_closing()
        look(listener, limits.stalled_s + 2)
        assert connection.transport.is_closing()
        await until(lambda: not standing.door.hub.watchers)


async def test_a_client_that_goes_is_forgotten_and_its_place_is_free(listener, standing, reader):
    with closing(Reader(listener.port)) as second:
        assert await second.ask() == 503
        assert b"event streams it can take" in second.chunks
    reader.close()
    await until(lambda: not standing.door.hub.watchers)
    with closing(Reader(listener.port)) as third:
        assert await third.ask() == 200


async def test_a_client_that_goes_is_forgotten_although_it_had_asked_for_more(listener, standing):
    with closing(Reader(listener.port)) as reader:
        assert await reader.ask(ASK + b"GET /api/live HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        await until(lambda: standing.door.hub.watchers)
    await until(lambda: not standing.door.hub.watchers)
    with closing(Reader(listener.port)) as second:
        assert await second.ask() == 200


async def test_a_door_that_closes_ends_it_in_order(listener, standing, reader):
    closing_door = asyncio.create_task(listener.close())
    while not reader.ended:
        await reader.read()
    async with asyncio.timeout(4.0):  # uvicorn would wait for 5 s, and cut it off then
        await closing_door
    assert standing.door.hub.watchers == set()
