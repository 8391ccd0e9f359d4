"""The door's WebSocket protocol: control frames, fragments, breaches, and how connections end."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Close, Frame, Opcode

from flux_actors import limits
from flux_actors.domain.event import tombstone
from flux_actors.domain.position import pack
from flux_api import socket_protocol
from flux_api.submission import Published
from tests.unit.api.sockets import RawClient
from tests.unit.api.standing import DEADLINE_S, event, settle, until

SUBSCRIBE = b'{"type":"subscribe","entity_id":"a/1","id":1}'
TEXT = Frame(Opcode.TEXT, SUBSCRIBE).serialize(mask=True)
PUBLISHED = Published(tombstone("n/e", "id", 1, "test"), 0, pack(1, 0))


@pytest.fixture
async def client(standing):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    yield client
    await client.close()
    assert standing.door.hub.watchers == set()


def closed_with(client):
    """Return the code of the close frame that the client was sent, and check that nothing followed it."""
    assert [frame.opcode for frame in client.frames].count(Opcode.CLOSE) == 1
    assert client.frames[-1].opcode is Opcode.CLOSE
    return Close.parse(bytes(client.frames[-1].data)).code


async def test_the_handshake_declines_compression(client):
    assert client.response.status_code == 101
    assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_what_comes_with_the_handshake_is_heard_once_the_session_begins(standing):
    client = RawClient(standing)
    client.push(Frame(Opcode.TEXT, SUBSCRIBE).serialize(mask=True))
    await until(lambda: client.kinds("subscribed"))
    await client.close()


async def test_a_ping_is_answered_between_updates(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    client.far.send_ping(b"there?")
    client.push()
    await standing.publish(event("a/1", {"v": 2}))
    await until(lambda: len(client.frames) == 3)
    assert [frame.opcode for frame in client.frames] == [Opcode.TEXT, Opcode.PONG, Opcode.TEXT]
    assert bytes(client.frames[1].data) == b"there?"


async def test_a_message_in_fragments_with_a_ping_between_is_heard(client):
    client.far.send_text(SUBSCRIBE[:9], fin=False)
    client.far.send_continuation(SUBSCRIBE[9:20], fin=False)
    client.far.send_ping(b"x")
    client.far.send_continuation(SUBSCRIBE[20:], fin=True)
    client.push()
    client.far.send_text(SUBSCRIBE)
    client.push()
    await until(lambda: len(client.kinds("subscribed")) == 2)
    assert client.frames[0].opcode is Opcode.PONG


async def test_it_is_heard_byte_by_byte(client):
    for byte in Frame(Opcode.TEXT, SUBSCRIBE).serialize(mask=True):
        client.push(bytes([byte]))
    await until(lambda: client.kinds("subscribed"))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, SUBSCRIBE).serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"x").serialize(mask=True), 1002),
        (Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True) * 2, 1002),
        (Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True) + TEXT, 1002),
        (b"\xc1" + Frame(Opcode.TEXT, b"x").serialize(mask=True)[1:], 1002),
        (b"\x89\xfe\x00\x80" + bytes(4 + 128), 1002),
        (b"\x81\xff" + (limits.socket_message_bytes_max + 1).to_bytes(8, "big"), 1009),
        (Frame(Opcode.TEXT, b"\xff\xff").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b'{"type":"get","x":"\xc3"}').serialize(mask=True), 1007),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
async def test_a_breach_of_the_protocol_ends_that_connection(standing, data, code):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.push(data)
    assert closed_with(client) == code
    await settle()
    assert (client.transport.ended, client.transport.closed) == (True, False)
    assert standing.door.hub.watchers == set()
    client.protocol.data_received(b"what it still sends is read")
    await standing.publish(event("a/1", {"v": 1}))
    await client.close()


async def test_a_breach_over_tls_is_told_as_well(standing, monkeypatch):
    monkeypatch.setattr(socket_protocol, "_LINGER_S", 0.002)
    client = RawClient(standing)
    client.transport.secured = True
    await until(lambda: standing.door.hub.watchers)
    client.push(b"\xff" * 20)
    assert closed_with(client) == 1002
    async with asyncio.timeout(DEADLINE_S):
        while not client.transport.closed:  # noqa: ASYNC110 - the time is the protocol's
            await asyncio.sleep(0.001)
    await client.close()


async def test_a_breach_ends_even_if_the_client_goes_on_for_ever(standing, monkeypatch):
    monkeypatch.setattr(socket_protocol, "_LINGER_S", 0.002)
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.push(b"\x81\x00")
    async with asyncio.timeout(DEADLINE_S):
        while not client.transport.closed:
            await asyncio.sleep(0.001)
            client.protocol.data_received(b"more")
    await client.close()


async def test_fragments_that_are_together_too_long_are_a_breach(standing, monkeypatch):
    monkeypatch.setattr(limits, "socket_message_bytes_max", 100)
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.push(Frame(Opcode.TEXT, b"x" * 60, fin=False).serialize(mask=True))
    client.push(Frame(Opcode.CONT, b"x" * 60).serialize(mask=True))
    assert closed_with(client) == 1009
    await client.close()


@pytest.mark.parametrize(
    ("part", "held"),
    [
        (Frame(Opcode.TEXT, b"x" * 60).serialize(mask=True)[:-5], 61),
        (Frame(Opcode.TEXT, b"x" * 60, fin=False).serialize(mask=True), 60),
    ],
    ids=["half a frame", "a fragment"],
)
async def test_a_message_that_comes_in_is_given_up_when_the_door_is_full(standing, part, held):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.push(part)
    assert client.protocol.coming_bytes == held
    client.protocol.look(0.0)
    client.protocol.give_up()
    assert closed_with(client) == 1013
    assert client.protocol.coming_bytes == 0
    client.protocol.give_up()  # once is enough
    await settle()
    assert standing.door.hub.watchers == set()
    await client.close()


async def test_a_farewell_is_answered_and_nothing_follows_it(standing, client):
    client.far.send_close(1000, "bye")
    client.push()
    assert closed_with(client) == 1000
    assert standing.door.hub.watchers == set()
    await standing.publish(event("a/1", {"v": 1}))
    client.protocol.write(b"late")
    await settle()
    assert client.frames[-1].opcode is Opcode.CLOSE


async def test_an_answer_that_comes_after_the_farewell_is_not_written(standing, monkeypatch):
    waiting = []
    monkeypatch.setattr(standing.door.publisher, "submit", lambda _, __, done: waiting.append(done))
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.say(type="publish", id=1, **event("n/e", {"v": 1}))
    client.far.send_close(1000)
    client.push()
    waiting[0](PUBLISHED)
    assert closed_with(client) == 1000
    await client.close()


async def test_an_ack_on_its_way_is_not_written_behind_the_end(standing, monkeypatch):
    waiting = []
    monkeypatch.setattr(standing.door.publisher, "submit", lambda _, __, done: waiting.append(done))
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.say(type="publish", id=1, **event("n/e", {"v": 1}))
    waiting[0](PUBLISHED)
    client.push(b"\x81\x00")
    await settle()
    assert closed_with(client) == 1002
    await client.close()


async def test_a_connection_that_is_lost_ends_the_session(standing):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.transport.abort()
    await until(lambda: not standing.door.hub.watchers)
    await client.close()


async def test_a_door_that_closes_says_so_once(standing):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.protocol.shutdown()
    client.protocol.shutdown()
    assert closed_with(client) == 1012
    assert standing.door.hub.watchers == set()
    await client.close()


async def test_a_door_that_closes_while_a_client_leaves_is_not_disturbed(standing):
    client = RawClient(standing)
    await until(lambda: standing.door.hub.watchers)
    client.stop_reading()
    client.protocol.transport.write(b"\x81\x02{}")
    client.far.send_close(1000)
    client.push()
    client.protocol.shutdown()
    client.read_again()
    assert closed_with(client) == 1000
    await client.close()


async def test_a_client_that_does_not_answer_pings_goes_even_if_it_does_not_read(standing, monkeypatch):
    monkeypatch.setattr(socket_protocol, "_LINGER_S", 0.002)
    client = RawClient(standing, ws_ping_interval=0.002, ws_ping_timeout=0.002)
    await until(lambda: standing.door.hub.watchers)
    client.stop_reading()
    async with asyncio.timeout(DEADLINE_S):
        while not client.transport.closed:  # noqa: ASYNC110 - the time is uvicorn's
            await asyncio.sleep(0.001)
    await until(lambda: not standing.door.hub.watchers)
    await client.close()


async def test_a_client_that_answers_pings_stays(standing):
    client = RawClient(standing, ws_ping_interval=0.001, ws_ping_timeout=20.0)
    await until(lambda: standing.door.hub.watchers)
    async with asyncio.timeout(DEADLINE_S):
        while [frame.opcode for frame in client.frames].count(Opcode.PING) < 4:
            client.push()  # the library has a pong ready
            await asyncio.sleep(0.001)
    assert standing.door.hub.watchers
    await client.close()


async def test_a_client_that_does_not_read_is_not_read_and_then_heard_again(standing, client, monkeypatch):
    client.stop_reading()
    client.protocol.transport.write(bytes(2) * limits.socket_pressed_bytes)
    client.send(SUBSCRIBE.decode())
    await settle()
    assert not client.transport.reads
    client.transport.waiting.clear()
    client.read_again()
    await until(lambda: client.kinds("subscribed"))
    assert client.transport.reads
