"""The WebSocket over the app: subscribing, unsubscribing, mistakes, and readers that do not read."""

from __future__ import annotations

import asyncio
import json

import pytest

from flux_api.app import build_app
from flux_api.hub import Watcher
from flux_api.outbox import Outbox
from flux_api.routes import live
from tests.unit.api.standing import DEADLINE_S, event, settle, until


class Socket:
    """A client's end of one socket of the app."""

    def __init__(self, app, path="/api/ws"):
        self.received = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.taken = 0
        self._sent = asyncio.Queue()
        self._task = asyncio.create_task(app(self._scope(path), self._receive, self._send))
        self.tell({"type": "websocket.connect"})

    def tell(self, message):
        self._sent.put_nowait(message)

    def say(self, **message):
        self.tell({"type": "websocket.receive", "text": json.dumps(message)})

    def frames(self, kind):
        return [frame for frame in self.received if frame["type"] == kind]

    async def close(self):
        self.tell({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(DEADLINE_S):
            await self._task

    async def _receive(self):
        self.taken += 1
        return await self._sent.get()

    async def _send(self, message):
        if message["type"] != "websocket.send":
            self.received.append(message)
            return
        await self.reads.wait()
        self.received.append(json.loads(message["text"]))

    @staticmethod
    def _scope(path):
        return {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "extensions": {"websocket.http.response": {}},
        }


@pytest.fixture
async def socket(standing):
    socket = Socket(build_app(standing.door.settings, standing.door))
    await until(lambda: standing.door.hub.watchers)
    yield socket
    await socket.close()
    assert standing.door.hub.watchers == set()


async def test_it_gets_everything_until_it_subscribes(standing, socket):
    await standing.publish(event("a/1", {"v": 1}))
    socket.say(type="subscribe", entity_id="b/*")
    await settle()
    await standing.publish(event("a/1", {"v": 2}))
    await standing.publish(event("b/1", {"v": 3}))
    await standing.publish(event("b/1", {"__deleted__": True}))
    await until(lambda: socket.frames("entity_deleted"))
    assert [frame["value"] for frame in socket.frames("state_update")] == [1, 3]
    assert [frame["entity_id"] for frame in socket.frames("entity_deleted")] == ["b/1"]


async def test_it_gets_nothing_after_unsubscribing_its_last_id(standing, socket):
    socket.say(type="subscribe", entity_id="a/1")
    socket.say(type="unsubscribe", entity_id="a/1")
    await settle()
    await standing.publish(event("a/1", {"v": 1}))
    standing.door.hub.announce('{"type":"metrics_update"}')
    await until(lambda: socket.frames("metrics_update"))
    assert socket.frames("state_update") == []


async def test_a_subscription_with_an_id_is_answered_before_its_updates(standing, socket):
    socket.say(type="subscribe", entity_id="a/1", id=7)
    await until(lambda: socket.frames("subscribed"))
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: socket.frames("state_update"))
    assert socket.frames("subscribed") == [{"type": "subscribed", "id": 7, "entity_id": "a/1"}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        '{"type":"dance"}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","entity_id":5}',
        '{"type":"subscribe","entity_id":""}',
        '{"type":"unsubscribe"}',
        '{"type":"subscribe","entity_id":"*","where":"v>1"}',
        "[" * 200 + "]" * 200,
    ],
)
async def test_a_malformed_message_is_told_and_the_socket_stays_open(standing, socket, text):
    socket.tell({"type": "websocket.receive", "text": text})
    await until(lambda: socket.frames("error"))
    (error,) = socket.frames("error")
    assert list(error) == ["type", "error"]
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: socket.frames("state_update"))


async def test_bytes_are_read_as_text_or_refused(socket):
    socket.tell({"type": "websocket.receive", "bytes": b'{"type":"subscribe","entity_id":"*","id":1}'})
    socket.tell({"type": "websocket.receive", "bytes": b"\xff\xfe"})
    await until(lambda: socket.frames("subscribed") and socket.frames("error"))


async def test_one_that_does_not_read_holds_nobody_up_and_is_told(standing, socket, monkeypatch):
    monkeypatch.setattr(live, "Watcher", lambda: Watcher(Outbox(3)))
    slow = Socket(build_app(standing.door.settings, standing.door))
    await until(lambda: len(standing.door.hub.watchers) == 2)
    slow.reads.clear()
    for number in range(10):
        await standing.publish(event("a/1", {"v": number}))
    await until(lambda: len(socket.frames("state_update")) == 10)
    slow.reads.set()
    await until(lambda: slow.frames("conflated"))
    await settle()
    assert slow.frames("conflated") == [{"type": "conflated", "entities": 1}]
    assert slow.frames("state_update")[-1]["value"] == 9
    await slow.close()


async def test_one_that_sends_and_never_reads_cannot_fill_the_memory(standing, monkeypatch):
    outboxes = []

    def watcher():
        outboxes.append(Outbox(5))
        return Watcher(outboxes[-1])

    monkeypatch.setattr(live, "Watcher", watcher)
    flood = Socket(build_app(standing.door.settings, standing.door))
    await until(lambda: standing.door.hub.watchers)
    flood.reads.clear()
    before = flood.taken
    for _ in range(200):
        flood.say(type="dance")
    for _ in range(500):
        await asyncio.sleep(0)
    answers_held_back = flood.taken - before
    flood.reads.set()
    await flood.close()
    assert answers_held_back <= 20


async def test_a_plain_request_is_told_what_the_path_is_for(client):
    answer = await client.get("/api/ws")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "WebSocket" in answer.json()["error"]


async def test_a_socket_at_another_path_is_404(standing):
    socket = Socket(build_app(standing.door.settings, standing.door), "/api/elsewhere")
    await until(lambda: len(socket.received) == 2)
    start, body = socket.received
    assert start["status"] == 404
    assert "/api/ws" in json.loads(body["body"])["error"]
