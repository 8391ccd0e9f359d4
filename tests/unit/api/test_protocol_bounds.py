"""What a connection may hold and how long: its place, a request that trickles in, an answer nobody takes."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from flux_actors import limits
from flux_api import protocol as protocol_module
from flux_api.connections import Bounds, Connections
from flux_api.protocol import DoorProtocol
from tests.unit.api.fake_transport import FakeTransport
from tests.unit.api.standing import settle, until
from tests.unit.api.test_protocol import App, Connection, get, handshake, is_refusal

HALF_HEAD = b"POST /a HTTP/1.1\r\nhost: x\r\n"
HALF_BODY = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhello"
HALF_CHUNKS = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
GRACE_S = limits.request_grace_s


@pytest.fixture
def crowd():
    return Connections(Bounds(connections=2, sockets=1, of_address=2))


@pytest.fixture
def app():
    return App()


@pytest.fixture
def connect(app, crowd, monkeypatch):
    """Open connections to a door with room for two."""
    monkeypatch.setattr(protocol_module, "_LOOK_S", 0.0)
    config = uvicorn.Config(
        app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False, server_header=False
    )

    def open_one():
        transport = FakeTransport()
        protocol = DoorProtocol(config, ServerState(), {}, asyncio.get_running_loop(), crowd=crowd)
        protocol.connection_made(transport)
        return Connection(app, transport, protocol)

    return open_one


@pytest.fixture
async def connection(connect):
    return connect()


def look(connection, later_s):
    """Have the door look at a connection, so many seconds from now."""
    connection.protocol.look(connection.protocol.loop.time() + later_s)


@pytest.mark.parametrize("part", [HALF_HEAD, HALF_BODY, HALF_CHUNKS], ids=["head", "body", "chunks"])
async def test_a_request_that_does_not_come_in_is_408(connection, part):
    await connection.send(part)
    look(connection, GRACE_S - 1)
    assert connection.got == b""
    look(connection, GRACE_S + 2)
    assert is_refusal(connection.got, 408)
    assert connection.transport.ended


async def test_a_reader_of_a_body_that_trickles_is_told_that_it_broke_off(connection):
    await connection.send(HALF_BODY)
    look(connection, GRACE_S + 2)
    await settle()
    assert connection.app.disconnected == ["/a"]


@pytest.mark.parametrize("part", [HALF_HEAD, HALF_BODY, HALF_CHUNKS], ids=["head", "body", "chunks"])
async def test_bytes_that_trickle_in_prolong_it_by_what_they_are_worth(connection, part):
    await connection.send(part)
    for _ in range(20):
        await connection.send(b"x: y\r\n" if part is HALF_HEAD else b"1\r\nx\r\n")
    look(connection, GRACE_S + 2)
    assert is_refusal(connection.got, 408)


async def test_a_large_body_has_the_time_it_needs_at_the_least_speed(connection):
    size = 40 * limits.request_bytes_per_s_min
    await connection.send(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
    await connection.send(b"x" * (size - 1))
    look(connection, GRACE_S + 39)
    assert connection.got == b""
    look(connection, GRACE_S + 42)
    assert is_refusal(connection.got, 408)


async def test_each_request_of_a_connection_has_its_own_time(connection):
    now = connection.protocol.loop.time()
    for number in range(3):
        await connection.send(HALF_BODY.replace(b"100000", b"5"), HALF_HEAD[:10])
        connection.protocol.look(now + number)
        await connection.send(HALF_HEAD[10:] + b"\r\n")
    look(connection, GRACE_S / 2)
    assert connection.got.count(b"/a:5;") == 3


async def test_a_request_that_is_whole_has_all_the_time_of_its_answer(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow"))
    look(connection, 1_000)
    assert not connection.transport.is_closing()
    release()
    await settle()
    assert b"/slow:0;" in connection.got


async def test_a_body_that_the_door_does_not_read_waits_for_the_door(connection):
    release = connection.app.hold("/slow")
    head = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n"
    await connection.send(head + b"x" * 100_000)
    look(connection, 1_000)
    release()
    await connection.send(b"x" * 100_000)
    assert b"/slow:200000;" in connection.got


async def test_a_body_that_nobody_wants_any_more_ends_without_a_second_answer(connection):
    async def refuse(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    connection.protocol.app = refuse
    await connection.send(HALF_BODY)
    look(connection, GRACE_S + 2)
    assert connection.transport.is_closing()
    assert connection.got.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("said", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_connection_on_which_nothing_is_asked_ends(connection, said):
    await connection.send(said)
    look(connection, connection.protocol.timeout_keep_alive + 1)
    assert connection.transport.is_closing()


async def test_a_connection_rests_as_long_as_it_may_after_a_long_answer(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow"))
    loop = connection.protocol.loop
    connection.protocol.loop = Later(loop, 1_000)
    release()
    await settle()
    connection.protocol.look(loop.time() + 1_001)
    assert not connection.transport.is_closing()


class Later:
    """A loop whose clock is ahead."""

    def __init__(self, loop, ahead_s):
        self._loop, self._ahead_s = loop, ahead_s

    def time(self):
        return self._loop.time() + self._ahead_s

    def __getattr__(self, name):
        return getattr(self._loop, name)


@pytest.mark.parametrize("part", [HALF_HEAD, HALF_BODY, HALF_CHUNKS], ids=["head", "body", "chunks"])
async def test_a_request_that_comes_in_is_given_up_when_the_door_is_full(connection, part):
    await connection.send(part)
    assert connection.protocol.coming_bytes == len(part)
    connection.protocol.give_up()
    assert is_refusal(connection.got, 503)
    assert b"retry-after: 1\r\n" in connection.got
    assert connection.protocol.coming_bytes == 0


async def test_a_request_that_is_whole_holds_nothing_that_could_be_given_up(connection):
    release = connection.app.hold("/slow")
    await connection.send(get("/slow"))
    assert connection.protocol.coming_bytes == 0
    release()
    await settle()


async def test_one_who_takes_nothing_of_an_answer_is_cut_off(connection):
    connection.transport.waiting_bytes = 5_000
    look(connection, 1)
    look(connection, limits.stalled_s)
    assert not connection.transport.aborted
    look(connection, limits.stalled_s + 2)
    assert connection.transport.aborted


async def test_one_who_takes_a_little_at_a_time_is_not(connection):
    for second in range(300):
        connection.transport.waiting_bytes = 5_000 - second
        look(connection, second)
        connection.protocol._active_at += 1  # noqa: SLF001 - it is not idle
    assert not connection.transport.is_closing()


async def test_one_more_than_the_door_takes_is_told_so_and_the_others_stay(connect):
    first, second, third = connect(), connect(), connect()
    assert is_refusal(third.got, 503)
    assert b"retry-after: 5\r\n" in third.got
    assert third.transport.ended
    await third.send(get("/a"))
    for connection in (first, second):
        await connection.send(get("/a"))
        assert connection.got.endswith(b"/a:0;")
    assert first.app.asked == ["/a", "/a"]


async def test_a_place_that_gets_free_is_taken(connect, crowd):
    first, _ = connect(), connect()
    first.protocol.connection_lost(None)
    await connect().send(get("/a"))
    assert first.app.asked == ["/a"]
    assert crowd.total == 2


async def test_one_who_was_turned_away_gives_no_place_back(connect, crowd):
    connections = [connect() for _ in range(3)]
    assert (crowd.total, crowd.turned_away) == (2, 1)
    for connection in connections:
        connection.protocol.connection_lost(None)
    assert (crowd.total, crowd.turned_away) == (0, 0)


async def test_those_who_are_turned_away_are_bounded_as_well(connect, crowd, monkeypatch):
    monkeypatch.setattr(limits, "turned_away_max", 1)
    _, _, told, cut_off = (connect() for _ in range(4))
    assert is_refusal(told.got, 503)
    assert cut_off.got == b""
    assert cut_off.transport.aborted
    cut_off.protocol.connection_lost(None)
    assert crowd.turned_away == 1


async def test_one_who_was_turned_away_and_stays_is_cut_off(connect, monkeypatch):
    monkeypatch.setattr(protocol_module, "_LINGER_S", 0.0)
    *_, third = (connect() for _ in range(3))
    await until(lambda: third.transport.aborted)


async def test_sockets_have_a_bound_of_their_own(connect, crowd):
    first, second = connect(), connect()
    await first.send(handshake())
    assert first.transport.protocol is not None
    await second.send(handshake())
    assert is_refusal(second.got, 503)
    assert b"retry-after: 5\r\n" in second.got
    assert (crowd.total, crowd.sockets) == (2, 1)


async def test_a_connection_over_tls_is_refused_without_closing_half_of_it(connection, monkeypatch):
    monkeypatch.setattr(protocol_module, "_LINGER_S", 0.0)
    connection.transport.halves = False
    await connection.send(b"nonsense\r\n\r\n")
    assert is_refusal(connection.got, 400)
    await until(connection.transport.is_closing)


async def test_trailers_are_no_headers_of_the_request(connection):
    seen = []

    async def keep(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        seen.extend(scope["headers"])
        await App()(scope, receive, send)

    connection.protocol.app = keep
    trailers = b"0\r\nauthorization: Bearer later\r\nx-forwarded-for: 127.0.0.1\r\n\r\n"
    await connection.send(HALF_CHUNKS, trailers)
    assert seen == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("first", "more"),
    [(b"0\r\n", b"x: y\r\n"), (b"0\r\nx: ", b"y"), (b"5;", b"name=value;"), (b"0\r\n", b"x")],
    ids=["many trailers", "a long trailer", "chunk extensions", "a long name"],
)
async def test_what_comes_in_place_of_a_body_has_the_bound_of_a_head(connection, first, more):
    await connection.send(HALF_CHUNKS, first)
    for _ in range(limits.header_block_bytes_max // 1_000 + 2):
        await connection.send(more * (1_000 // len(more) + 1))
    assert is_refusal(connection.got, 431)
    assert connection.transport.ended
