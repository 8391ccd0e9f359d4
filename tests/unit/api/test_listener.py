"""The listener: doors share a port, answer over HTTP, and close without cutting anyone off."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import closing, suppress

import httpx
import pytest

from flux_actors import limits
from flux_actors.settings import Settings
from flux_actors.tls import trust_in
from flux_api import protocol
from flux_api.listener import Listener, allow_many_clients, shared_socket
from flux_cluster.ports import free_ports
from tests.certificates import make_pair
from tests.unit.api.standing import until


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


async def asked(port):
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}/")


async def test_it_answers_between_opening_and_closing():
    (port,) = free_ports(1)
    listener = Listener(hello, Settings(port=port))
    assert not listener.listens
    await listener.open()
    assert (listener.listens, (await asked(port)).text) == (True, "hi")
    await listener.close()
    assert not listener.listens
    with pytest.raises(httpx.ConnectError):
        await asked(port)


async def test_an_answer_under_way_is_finished_before_it_closes():
    asked_for, answer = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send):
        asked_for.set()
        await answer.wait()
        await hello(scope, receive, send)

    (port,) = free_ports(1)
    listener = Listener(slow, Settings(port=port))
    await listener.open()
    reader = asyncio.create_task(asked(port))
    await asked_for.wait()
    closing_door = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    answer.set()
    assert (await reader).text == "hi"
    await closing_door


async def test_sockets_are_pinged_every_20_seconds():
    (port,) = free_ports(1)
    listener = Listener(hello, Settings(port=port))
    config = listener._server.config  # noqa: SLF001 - waiting for a ping takes 20 s
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20.0, 20.0)
    await listener.open()
    await listener.close()


def test_doors_share_a_port_and_others_cannot_take_it():
    (port,) = free_ports(1)
    with closing(shared_socket("127.0.0.1", port)), closing(shared_socket("127.0.0.1", port)) as door:
        door.listen()
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_it_allows_as_many_clients_as_the_machine_does():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        allow_many_clients()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 1 << 20), hard)
        allow_many_clients()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_listens_where_it_is_told_and_nowhere_else():
    (port,) = free_ports(1)
    with closing(shared_socket("127.0.0.1", port)) as door:
        assert door.getsockname() == ("127.0.0.1", port)
    with closing(shared_socket("::1", port)) as door:
        assert door.getsockname()[:2] == ("::1", port)


class Reader:
    """A client that says what it is told to and hears the answer."""

    def __init__(self, reader, writer):
        self._reader, self.writer = reader, writer

    async def answer(self):
        """Return all that comes before the end."""
        return await asyncio.wait_for(self._reader.read(), 5)

    async def asked(self):
        """Ask and return the first bytes of the answer."""
        self.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        return await asyncio.wait_for(self._reader.readuntil(b"hi"), 5)


@pytest.fixture
async def dial():
    """Connect to ports, encrypted if a context is given."""
    clients = []

    async def connect(port, context=None):
        name = "localhost" if context is not None else None
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        clients.append(Reader(*streams))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.transport.abort()
    await asyncio.sleep(0)


@pytest.fixture
async def listening(monkeypatch):
    """Open listeners with some settings; return the port of each."""
    monkeypatch.setattr(limits, "look_every_s", 0.01)
    opened = []

    async def listen(app=hello, **settings):
        (port,) = free_ports(1)
        opened.append(Listener(app, Settings(port=port, **settings)))
        await opened[-1].open()
        return port

    yield listen
    await asyncio.gather(*(listener.close() for listener in opened))


@pytest.mark.parametrize("part", [b"GET / HT", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx"])
async def test_a_request_that_does_not_come_in_ends(dial, listening, monkeypatch, part):
    monkeypatch.setattr(limits, "request_grace_s", 0.1)

    async def read(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    client = await dial(await listening(read))
    client.writer.write(part)
    assert (await client.answer()).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(dial, listening, monkeypatch):
    monkeypatch.setattr(limits, "stalled_s", 0.2)
    gone = asyncio.Event()

    async def flood(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await receive()  # the request, whole
        leaving = asyncio.create_task(receive())
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await asyncio.sleep(0)
        gone.set()

    client = await dial(await listening(flood))
    client.writer.transport.pause_reading()
    client.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(gone.wait(), 10)


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
async def test_connections_beyond_the_bound_are_503_and_the_others_go_on(
    dial, listening, tmp_path, monkeypatch, secured
):
    monkeypatch.setattr(protocol, "_LINGER_S", 0.1)  # over TLS that is how long a client waits for the end
    pair = make_pair(tmp_path)
    tls = {"tls_cert": pair.certificate, "tls_key": pair.key} if secured else {}
    context = trust_in(pair.certificate) if secured else None
    port = await listening(connections_max=3, **tls)
    inside = [await dial(port, context) for _ in range(3)]
    for client in inside:
        assert (await client.asked()).startswith(b"HTTP/1.1 200 ")
    outside = [await dial(port, context) for _ in range(5)]
    for client in outside:
        answer = await client.answer()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5\r\n" in answer
    for client in inside:
        assert (await client.asked()).startswith(b"HTTP/1.1 200 ")
    inside[0].writer.close()

    async def has_place():
        client = await dial(port, context)
        client.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        with suppress(ConnectionError):  # it was turned away before it had asked
            return (await client.answer()).startswith(b"HTTP/1.1 200 ")
        return False

    async with asyncio.timeout(5):
        while not await has_place():
            pass


async def test_a_client_that_asks_too_much_at_once_hears_the_503_all_the_same(dial, listening):
    port = await listening(connections_max=1)
    assert (await (await dial(port)).asked()).startswith(b"HTTP/1.1 200 ")
    client = await dial(port)
    client.writer.write(b"POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000)
    assert (await client.answer()).startswith(b"HTTP/1.1 503 ")


async def test_bodies_that_are_too_much_together_are_given_up_largest_first(dial, listening, monkeypatch):
    monkeypatch.setattr(limits, "coming_bytes_max", 120_000)

    async def read(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await hello(scope, receive, send)

    port = await listening(read)
    clients = [await dial(port) for _ in range(3)]
    for client, size in zip(clients, (60_000, 70_000, 20_000), strict=True):
        client.writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n" + b"x" * size)
    assert (await clients[1].answer()).startswith(b"HTTP/1.1 503 ")
    for client, rest in ((clients[0], 30_000), (clients[2], 70_000)):
        client.writer.write(b"x" * rest)
        assert (await client.asked()).startswith(b"HTTP/1.1 200 ")


async def test_a_handshake_that_does_not_go_on_ends(dial, listening, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "tls_handshake_s", 0.2)
    pair = make_pair(tmp_path)
    client = await dial(await listening(tls_cert=pair.certificate, tls_key=pair.key))
    client.writer.write(b"\x16\x03\x01")
    assert await client.answer() == b""


async def test_a_header_never_says_who_a_client_is(dial, listening):
    seen = []

    async def keep(scope, receive, send):
        seen.append((scope["client"][0], scope["scheme"]))
        await hello(scope, receive, send)

    client = await dial(await listening(keep))
    client.writer.write(
        b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.0.0.7\r\nx-forwarded-proto: https\r\n\r\n"
    )
    await client.asked()
    assert seen == [("127.0.0.1", "http")] * 2


async def test_a_certificate_that_does_not_fit_any_more_is_told_and_the_old_one_stays(
    dial, listening, tmp_path, lines
):
    pair = make_pair(tmp_path)
    context = trust_in(pair.certificate)
    port = await listening(tls_cert=pair.certificate, tls_key=pair.key)
    pair.key.write_text("nothing")
    await until(lambda: any(line["event"] == "certificate.refused" for line in lines))
    assert (await (await dial(port, context)).asked()).startswith(b"HTTP/1.1 200 ")
