"""The door's protocol: bounded heads, refusals in the API's shape, answers in order, old clients."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest
import uvicorn
from uvicorn.server import ServerState

from flux_actors import limits
from flux_api import protocol as protocol_module
from flux_api.protocol import DoorProtocol
from tests.unit.api.fake_transport import FakeTransport
from tests.unit.api.standing import settle, until

HEAD_MAX = limits.header_block_bytes_max
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class App:
    """Answers with the path and the length of the body, once the gate of the path is open."""

    def __init__(self):
        self.asked = []
        self.disconnected = []
        self.gates = {}

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        self.asked.append(path)
        if path in self.gates:
            await self.gates[path].wait()
        size = await self._size(path, receive)
        body = f"{path}:{size};".encode()
        await send({"type": "http.response.start", "status": 200, "headers": self._headers(path, body)})
        for part in (body[:3], body[3:]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    def hold(self, path):
        """Have the answer of a path wait; return what lets it go."""
        self.gates[path] = asyncio.Event()
        return self.gates[path].set

    async def _size(self, path, receive):
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.append(path)
                return size
            size += len(message["body"])
            if not message["more_body"]:
                return size

    @staticmethod
    def _headers(path, body):
        return [] if path == "/stream" else [(b"content-length", b"%d" % len(body))]


@dataclass
class Connection:
    """A client's end: what it sends and what it got."""

    app: App
    transport: FakeTransport
    protocol: DoorProtocol

    @property
    def got(self):
        return self.transport.written

    async def send(self, *parts):
        for part in parts:
            self.protocol.data_received(part)
        await settle()


@pytest.fixture
def app():
    return App()


@pytest.fixture
def connect(app, monkeypatch):
    """Open connections to a door."""
    monkeypatch.setattr(protocol_module, "_LOOK_S", 0.0)
    config = uvicorn.Config(
        app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False, server_header=False
    )

    def open_one():
        transport = FakeTransport()
        protocol = DoorProtocol(config, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        return Connection(app, transport, protocol)

    return open_one


@pytest.fixture
async def connection(connect):
    return connect()


def get(path="/a", headers=b""):
    return b"GET %s HTTP/1.1\r\nhost: x\r\n%s\r\n" % (path.encode(), headers)


def is_refusal(data, status):
    """Whether `data` is one refusal in the API's shape and nothing else."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    return (
        head.startswith(b"HTTP/1.1 %d " % status)
        and b"content-type: application/json" in lines
        and b"connection: close" in lines
        and b"content-length: %d" % len(body) in lines
        and list(json.loads(body)) == ["error"]
    )


def in_order(data, *words):
    """Whether `words` stand in `data` once each and in this order."""
    places = [data.find(word) for word in words]
    return -1 not in places and places == sorted(places) and all(data.count(word) == 1 for word in words)


async def test_a_request_is_answered_however_it_arrives(connect):
    request = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    for size in (1, 7, len(request)):
        connection = connect()
        await connection.send(*(request[at : at + size] for at in range(0, len(request), size)))
        assert connection.got.endswith(b"\r\n\r\n/a:5;")
        assert not connection.transport.is_closing()


@pytest.mark.parametrize("piece", [1_000_000, 10_000])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * HEAD_MAX, 414),
        (b"GET /" + b"a" * HEAD_MAX + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEAD_MAX, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEAD_MAX + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * (HEAD_MAX // 6 + 10), 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * (HEAD_MAX // 6 + 10) + b"\r\n", 431),
    ],
    ids=["line", "whole-line", "header", "whole-header", "headers", "whole-headers"],
)
async def test_a_head_past_the_bound_is_refused_whether_or_not_it_ends(connection, head, status, piece):
    await connection.send(*(head[at : at + piece] for at in range(0, len(head), piece)))
    assert is_refusal(connection.got, status)
    assert connection.transport.ended
    assert connection.app.asked == []


async def test_a_head_within_the_bound_is_taken_again_and_again(connection):
    for _ in range(3):
        await connection.send(get("/a", b"x: " + b"y" * (HEAD_MAX - 1_000) + b"\r\n"))
    assert connection.app.asked == ["/a"] * 3


async def test_a_body_does_not_count_as_a_head(connection):
    body = b"b" * (2 * HEAD_MAX)
    request = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    whole = request + body + get("/b")
    await connection.send(*(whole[at : at + 10_000] for at in range(0, len(whole), 10_000)))
    assert in_order(connection.got, b"/a:%d;" % len(body), b"/b:0;")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_closed(connection, request_bytes):
    await connection.send(request_bytes)
    assert is_refusal(connection.got, 400)
    assert connection.transport.ended
    assert connection.app.asked == []


async def test_a_refused_connection_closes_after_its_answer_can_have_been_read(connection, monkeypatch):
    monkeypatch.setattr(protocol_module, "_LINGER_S", 0.0)
    await connection.send(b"nonsense\r\n\r\n")
    await until(connection.transport.is_closing)


async def test_what_follows_a_refused_request_is_not_done(connection):
    await connection.send(b"nonsense\r\n\r\n" + get("/later"), get("/last"))
    assert is_refusal(connection.got, 400)
    assert connection.app.asked == []


async def test_a_body_that_breaks_off_is_answered_at_once_and_its_reader_is_told(connection):
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    await connection.send(head, b"3\r\nabc\r\n", b"no chunk\r\n")
    assert is_refusal(connection.got, 400)
    assert connection.app.disconnected == ["/a"]


async def test_pipelined_requests_are_answered_in_order_one_after_another(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow") + get("/b"), get("/c"))
    assert (connection.got, connection.app.asked) == (b"", ["/slow"])
    release()
    await settle()
    assert in_order(connection.got, b"/slow:0;", b"/b:0;", b"/c:0;")


async def test_a_refusal_waits_for_the_answers_before_it(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow") + get("/b") + b"nonsense\r\n\r\n")
    assert connection.got == b""
    release()
    await until(lambda: connection.transport.ended)
    answers, refusal = connection.got.split(b"/b:0;")
    assert in_order(answers, b"/slow:0;")
    assert is_refusal(refusal, 400)


async def test_a_refusal_never_stands_for_the_answer_of_another_request(connection, monkeypatch):
    """A write that was done must not look refused because its answer took its time."""
    monkeypatch.setattr(protocol_module, "_LINGER_S", 0.0)
    release = connection.app.hold("/slow")
    await connection.send(get("/slow") + b"nonsense\r\n\r\n")
    await settle()
    release()
    await until(lambda: connection.transport.ended or connection.transport.is_closing())
    assert not connection.got.startswith(b"HTTP/1.1 400")


async def test_a_client_that_left_gets_no_refusal(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow") + b"nonsense\r\n\r\n")
    connection.transport.close()
    release()
    connection.protocol.connection_lost(None)
    await settle()
    assert connection.got == b""


async def test_an_http_1_0_client_gets_a_stream_without_chunks_that_ends_with_the_connection(connection):
    await connection.send(b"GET /stream HTTP/1.0\r\n\r\n")
    head, _, body = connection.got.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"/stream:0;"
    assert connection.transport.is_closing()


async def test_an_http_1_0_client_gets_an_announced_length_as_it_is(connection):
    await connection.send(b"GET /a HTTP/1.0\r\n\r\n")
    head, _, body = connection.got.partition(b"\r\n\r\n")
    assert b"content-length: 5" in head.lower()
    assert body == b"/a:0;"
    assert connection.transport.is_closing()


async def test_an_http_1_1_client_gets_a_stream_in_chunks_and_keeps_its_connection(connection):
    await connection.send(get("/stream"))
    assert connection.got.endswith(b"3\r\n/st\r\n7\r\nream:0;\r\n0\r\n\r\n")
    assert not connection.transport.is_closing()


async def test_a_client_that_waits_to_send_its_body_is_told_to(connection):
    await connection.send(b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    assert connection.got == b"HTTP/1.1 100 Continue\r\n\r\n"
    await connection.send(b"abc")
    assert connection.got.endswith(b"/a:3;")


def handshake(version=b"13", key=KEY):
    return get(
        "/ws",
        b"connection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: %s\r\nsec-websocket-key: %s\r\n" % (version, key),
    )


@pytest.mark.parametrize("version", [b"", b"8", b"14"])
async def test_a_websocket_of_another_version_is_told_the_right_one(connection, version):
    await connection.send(handshake(version))
    assert is_refusal(connection.got, 426)
    assert b"Sec-WebSocket-Version: 13" in connection.got


@pytest.mark.parametrize("key", [b"", b"short", b"!" * 24, KEY + KEY])
async def test_a_websocket_whose_key_is_none_is_refused(connection, key):
    await connection.send(handshake(key=key))
    assert is_refusal(connection.got, 400)
    assert connection.transport.protocol is None


async def test_a_good_handshake_is_handed_over(connection):
    await connection.send(handshake())
    assert connection.transport.protocol is not None
    assert not connection.transport.ended


async def test_one_who_sends_many_requests_at_once_is_not_read_from_until_the_last(connection):
    paused = []
    connection.transport.pause_reading = lambda: paused.append(True)
    connection.transport.resume_reading = lambda: paused.append(False)
    release = [connection.app.hold(path) for path in ("/a", "/b", "/c")]
    await connection.send(get("/a") + get("/b") + get("/c"))
    for let_go, waits in zip(release, (True, True, False), strict=True):
        assert paused[-1] == waits  # until only one is left that has no answer yet
        let_go()
        await settle()
    assert in_order(connection.got, b"/a:0;", b"/b:0;", b"/c:0;")
