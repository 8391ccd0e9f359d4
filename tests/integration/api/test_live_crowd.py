"""A thousand sockets of which a hundred do not read: the others are told everything, and in time."""

from __future__ import annotations

import asyncio
import base64
import collections
import os
import resource
import socket
import time

import httpx
import msgspec
import psutil
import pytest

from flux_api.frames import texts_of
from tests.busy import busy
from tests.integration.api.support import event

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
READERS, DEAF = 900, 100
UPDATES, NOISE = 2_000, 8_000
NOISY = 40  # entities
NOISE_CHARS = 1_000  # 8 MB for each who does not read: more than kernel and door hold for it
DEADLINE_S = 20.0
SEEN_S_MAX = 2.0
GROWTH_BYTES_MAX = 400 << 20
FILES = 4_096


class Client(asyncio.Protocol):
    """A raw client, for a thousand of them must not cost more than the door: it counts, or keeps all."""

    def __init__(self, patterns, *, keeps):
        self.patterns = patterns
        self.keeps = keeps
        # Before it has chosen, it may be told what others wrote: that is not counted.
        self.mark = f'"state_update","entity_id":"{patterns[0].removesuffix("*")}'.encode()
        self.opened = asyncio.get_running_loop().create_future()
        self.updates = 0
        self.received = bytearray()
        self.lost = False

    def connection_lost(self, _):
        self.lost = True

    def connection_made(self, transport):
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        head = ["GET /api/ws HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade"]
        head += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        transport.write("\r\n".join(head).encode())

    def data_received(self, data):
        self.received += data
        if not self.opened.done():
            head, found, rest = bytes(self.received).partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head
            self.received = bytearray(rest)
            for number, pattern in enumerate(self.patterns):
                self.say(type="subscribe", entity_id=pattern, id=number)
            self.opened.set_result(None)
        elif not self.keeps:
            self.updates += self.received.count(self.mark)
            del self.received[: -len(self.mark) + 1]

    def say(self, **message):
        text = msgspec.json.encode(message)
        assert len(text) <= 125
        self.transport.write(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)  # a mask of zeros

    def messages(self):
        return [msgspec.json.decode(text) for text in texts_of(bytes(self.received))]


class Crowd:
    """Opens clients, and sees them all gone at the end."""

    def __init__(self, port):
        self._port = port
        self._clients = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for client in self._clients:
            client.transport.abort()
        await until(lambda: all(client.lost for client in self._clients), "the end")

    async def join(self, *patterns, keeps=False):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", self._port))
        _, client = await loop.create_connection(lambda: Client(patterns, keeps=keeps), sock=raw)
        self._clients.append(client)
        await client.opened
        return client


async def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S * busy()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def told(readers, updates):
    """Return once each reader was told so many updates."""
    try:
        await until(lambda: all(reader.updates == updates for reader in readers), "all updates")
    except AssertionError:
        counts = collections.Counter(reader.updates for reader in readers)
        pytest.fail(f"readers by what they were told, of {updates}: {counts.most_common(9)}")


@pytest.fixture
def _many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def publish(api, events):
    for begin in range(0, len(events), 500):
        answer = await api.post("/api/events/batch", json=events[begin : begin + 500])
        assert answer.json()["failed"] == 0


@pytest.mark.usefixtures("_many_files")
async def test_a_thousand_sockets_of_which_a_hundred_do_not_read(flux, namespace):
    news, noise = f"{namespace}n", f"{namespace}x"
    door = psutil.Process(flux.pid_of("ray::ServeReplica"))
    async with (
        Crowd(flux.port) as crowd,
        httpx.AsyncClient(base_url=flux.url, trust_env=False, timeout=DEADLINE_S * busy()) as api,
    ):
        readers = [await crowd.join(f"{news}/*") for _ in range(READERS)]
        witness = await crowd.join(f"{news}/*", keeps=True)
        deaf = [await crowd.join(f"{news}/*", f"{noise}/*", keeps=True) for _ in range(DEAF)]
        await until(lambda: all(b"subscribed" in client.received for client in deaf), "subscriptions")
        for client in deaf:
            client.transport.pause_reading()
        before = door.memory_info().rss

        begun = time.monotonic()
        text = "x" * NOISE_CHARS
        await publish(api, [event(f"{noise}/{n % NOISY}", {"n": n, "text": text}) for n in range(NOISE)])
        await publish(api, [event(f"{news}/{n % 7}", {"n": n}) for n in range(UPDATES)])
        await told(readers, UPDATES)
        assert time.monotonic() - begun < DEADLINE_S * busy()
        assert door.memory_info().rss - before < GROWTH_BYTES_MAX

        begun = time.monotonic()
        await publish(api, [event(f"{news}/last", {"n": "last"})])
        await told(readers, UPDATES + 1)
        assert time.monotonic() - begun < SEEN_S_MAX * busy()
        await until(lambda: has_last(witness), "the witness")
        values = [m["value"] for m in witness.messages() if _is_update_of(m, news)]
        assert values == [*range(UPDATES), "last"]

        for client in deaf:
            client.transport.resume_reading()
        await until(lambda: all(map(has_last, deaf)), "the deaf")
        for client in deaf[::10]:
            _assert_newest(client.messages(), news, noise)


def has_last(client):
    """Whether it has got all of the last update."""
    return b'"value":"last"' in client.received and client.received.endswith(b"}")


def _is_update_of(message, namespace):
    return message["type"] == "state_update" and message["entity_id"].startswith(f"{namespace}/")


def _assert_newest(messages, news, noise):
    """What a client was told must end at the newest values, and it must know that it was conflated."""
    world = {(m["entity_id"], m["property"]): m["value"] for m in messages if m["type"] == "state_update"}
    assert {world[f"{noise}/{n}", "n"] for n in range(NOISY)} == set(range(NOISE - NOISY, NOISE))
    assert {world[f"{news}/{n}", "n"] for n in range(7)} == set(range(UPDATES - 7, UPDATES))
    assert any(message["type"] == "conflated" for message in messages)
    assert len(messages) < 2 * NOISE  # two properties an event: fewer than were sent
