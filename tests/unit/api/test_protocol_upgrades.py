"""Upgrades that are not offered: the request keeps its body, and nothing of that is taken for a request."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from flux_api.protocol import DoorProtocol
from tests.unit.api.fake_transport import FakeTransport
from tests.unit.api.test_protocol import KEY, App, Connection, get, in_order, is_refusal

HIDDEN = get("/hidden")


@pytest.fixture
async def connection():
    app = App()
    config = uvicorn.Config(
        app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    transport = FakeTransport()
    protocol = DoorProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(transport)
    return Connection(app, transport, protocol)


def request(upgrade, *headers, method=b"POST", body=b""):
    lines = [
        *(b"%s /a HTTP/1.1" % method, b"host: x"),
        *(b"connection: Upgrade, HTTP2-Settings", b"upgrade: " + upgrade),
        *(b"sec-websocket-version: 13", b"sec-websocket-key: " + KEY, *headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LENGTH = b"content-length: %d" % len(HIDDEN)
CHUNKS = b"transfer-encoding: chunked"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
bodies = pytest.mark.parametrize(
    ("header", "body"), [(LENGTH, HIDDEN), (CHUNKS, IN_CHUNKS)], ids=["length", "chunks"]
)


@pytest.mark.parametrize("piece", [1, 7, 200, 10_000])
@pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.0", b"x"])
@pytest.mark.parametrize(
    ("header", "body"), [(LENGTH, HIDDEN), (CHUNKS, IN_CHUNKS)], ids=["length", "chunks"]
)
async def test_the_body_of_a_request_that_asks_for_an_upgrade_is_its_body(
    connection, upgrade, header, body, piece
):
    stream = request(upgrade, header, body=body) + get("/b")
    await connection.send(*(stream[at : at + piece] for at in range(0, len(stream), piece)))
    assert connection.app.asked == ["/a", "/b"]
    assert in_order(connection.got, b"/a:%d;" % len(HIDDEN), b"/b:0;")


@pytest.mark.parametrize("piece", [1, 10_000])
@pytest.mark.parametrize("headers", [(), (b"content-length: 0",)])
async def test_a_connection_goes_on_after_a_request_without_a_body(connection, piece, headers):
    stream = request(b"h2c", *headers, method=b"GET") * 2 + get("/b")
    await connection.send(*(stream[at : at + piece] for at in range(0, len(stream), piece)))
    assert connection.app.asked == ["/a", "/a", "/b"]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    ("header", "body"), [(LENGTH, HIDDEN), (CHUNKS, IN_CHUNKS)], ids=["length", "chunks"]
)
async def test_a_handshake_with_a_body_is_refused_and_that_is_no_request(connection, method, header, body):
    await connection.send(request(b"websocket", header, method=method, body=body), get("/b"))
    assert is_refusal(connection.got, 400)
    assert connection.app.asked == []
    assert connection.transport.protocol is None


async def test_what_follows_a_handshake_before_its_answer_is_refused(connection):
    await connection.send(request(b"websocket", method=b"GET") + get("/b"))
    assert is_refusal(connection.got, 400)
    assert connection.app.asked == []


async def test_a_handshake_is_a_get(connection):
    await connection.send(request(b"websocket"))
    assert is_refusal(connection.got, 400)


async def test_a_body_that_is_cut_off_in_an_upgrade_is_not_done(connection):
    await connection.send(request(b"h2c", LENGTH, body=HIDDEN[:-3]))
    assert connection.got == b""
    assert connection.app.asked == ["/a"]
    connection.protocol.connection_lost(None)
    await connection.send()
    assert connection.app.disconnected == ["/a"]
