"""A Flux in memory for tests of the benchmark: it speaks the API, and on request it lies.

A fault is what a broken server would do: acknowledge and forget, apply twice, let old values win, leave
out messages. The benchmark must find each of them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from flux_actors.domain.where import where_of
from flux_bench.generator.frames import FrameReader

_ENTITIES = "/api/state/entities"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FakeFlux:
    """The state, and which faults it has."""

    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)
        self.url = ""
        self.entities: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {"rate_limit_enabled": True}
        self.configured: list[dict[str, Any]] = []
        self.connections: set[Connection] = set()
        self.sockets: dict[Connection, set[str]] = {}
        self.counted = 0
        self.published = 0
        self.reads = 0

    def publish(self, event: dict[str, Any]) -> dict[str, Any]:
        self.published += 1
        faulty = self.published % 3 == 0
        times = 0 if "forgets" in self.faults and faulty else 2 if "twice" in self.faults and faulty else 1
        for _ in range(times):
            self._apply(event, forgets_value=faulty and "keeps old values" in self.faults)
        return {"eventId": f"e-{self.published}", "stream": event["stream"]}

    def _apply(self, event: dict[str, Any], *, forgets_value: bool) -> None:
        self.counted += 1
        entity_id, properties = event["payload"]["entity_id"], event["payload"]["properties"]
        self.events.append({**event, "eventId": f"e-{self.published}"})
        if not forgets_value:
            self.entities.setdefault(entity_id, {}).update(properties)
        frames = b"".join(
            framed(type="state_update", entity_id=entity_id, property=name, value=value)
            for name, value in properties.items()
        )
        for number, (socket, patterns) in enumerate(self.sockets.items()):
            if not patterns or patterns & {"*", entity_id}:
                socket.transport.write(frames * self._copies(number))

    def _copies(self, number: int) -> int:
        """Return how often one socket is sent an update."""
        if self.counted % 5 == 0 and "drops messages" in self.faults and number == 1:
            return 0
        return 2 if self.counted % 5 == 0 and "repeats messages" in self.faults and number == 0 else 1

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given = json.loads(body) if body else {}
        route = {
            ("POST", "/api/events"): lambda: self.publish(given),
            ("POST", "/api/events/batch"): lambda: self._batch(given["events"]),
            ("GET", "/api/events"): lambda: self._history(asked["entity"], int(asked["limit"])),
            ("GET", _ENTITIES): lambda: self._list(asked),
            ("POST", f"{_ENTITIES}/get"): lambda: self._get_many(given["ids"]),
            ("POST", f"{_ENTITIES}/delete"): lambda: self._delete(given["entity_ids"]),
            ("GET", "/api/status"): lambda: {
                "partitions": [{"partition": 0, "events": self.counted, "sequence": self.counted}]
            },
            ("GET", "/api/admin/config"): lambda: self.config,
            ("PUT", "/api/admin/config"): lambda: self._configure(given),
        }.get((method, parts.path))
        if route is None:
            return 200, self._one(unquote(parts.path.removeprefix(f"{_ENTITIES}/")))
        if method == "PUT" and "guards its config" in self.faults:
            return 401, {"error": "the admin token, please"}
        return 200, route()

    def _batch(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        results = [self.publish(event) for event in events]
        return {"successful": len(results), "failed": 0, "results": results}

    def _history(self, entity_id: str, limit: int) -> list[dict[str, Any]]:
        mine = [event for event in self.events if event["payload"]["entity_id"] == entity_id]
        newest = mine[::-1][:limit]
        return newest[1:] if "loses history" in self.faults else newest

    def _list(self, asked: dict[str, str]) -> Any:
        prefix = f"{asked['namespace']}/" if "namespace" in asked else asked.get("prefix", "")
        holds = where_of(asked.get("where", "not exists(nothing)"))
        if "filters nothing" in self.faults:
            holds = where_of("not exists(nothing)")
        found = [one for one in sorted(self.entities) if one.startswith(prefix) and holds(self.entities[one])]
        return {"count": len(found)} if "count" in asked else [self.entity(one) for one in found]

    def _one(self, entity_id: str) -> dict[str, Any]:
        self.reads += 1
        if "reads another" in self.faults:
            entity_id = next(iter(self.entities))
        if "shows late" in self.faults and self.reads % 2:
            return self.entity(entity_id) | {"properties": {}}
        return self.entity(entity_id)

    def _get_many(self, ids: list[str]) -> dict[str, Any]:
        return {"entities": [self._one(one) for one in ids], "missing": []}

    def _delete(self, ids: list[str]) -> dict[str, Any]:
        for entity_id in ids:
            del self.entities[entity_id]
        return {"deleted": len(ids), "failed": 0, "errors": []}

    def entity(self, entity_id: str) -> dict[str, Any]:
        return {"id": entity_id, "properties": self.entities[entity_id], "lastUpdated": "2030-01-31T08:00:00"}

    def hear(self, socket: Connection, message: dict[str, Any]) -> None:
        match message.pop("type"):
            case "subscribe":
                self.sockets[socket].add(message["entity_id"])
            case "unsubscribe":
                self.sockets[socket] = {"nothing"}
            case "publish":
                number = message.pop("id")
                answer = self.publish(message)
                socket.send(type="ack", id=number, eventId=answer["eventId"], position="0.1.0")

    def _configure(self, change: dict[str, Any]) -> dict[str, Any]:
        self.configured.append(change)
        self.config |= change
        return self.config


class Connection(asyncio.Protocol):
    """One connection: requests, and after an upgrade messages."""

    def __init__(self, flux: FakeFlux) -> None:
        self.flux = flux
        self.rest = b""
        self.reader: FrameReader | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.flux.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.flux.connections.discard(self)
        self.flux.sockets.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while self.reader is None and self._request():
            pass
        if self.reader is not None:
            data, self.rest = unmasked(self.rest)
            for message in self.reader.messages(data):
                self.flux.hear(self, json.loads(message))

    def send(self, **message: Any) -> None:
        self.transport.write(framed(**message))

    def _request(self) -> bool:
        head, separator, rest = self.rest.partition(b"\r\n\r\n")
        if not separator:
            return False
        lines = head.split(b"\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        size = int(headers.get(b"content-length", b"0"))
        if len(rest) < size:
            return False
        self.rest = rest[size:]
        if b"upgrade" in headers:
            key = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())  # noqa: S324
            switch = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            self.transport.write(switch + key + b"\r\n\r\n")
            self.reader = FrameReader()
            self.flux.sockets[self] = set()
            return True
        method, target, _ = lines[0].decode().split(" ")
        status, answer = self.flux.answer(method, target, rest[:size])
        body = json.dumps(answer, separators=(",", ":")).encode()
        self.transport.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        return True


def framed(**message: Any) -> bytes:
    """Return a message as a server's frame."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    size = bytes((len(payload),)) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + payload


def unmasked(data: bytes) -> tuple[bytes, bytes]:
    """Return whole client frames as a server's, and the rest; their mask is empty and is taken out."""
    found = b""
    while len(data) > 10 or (len(data) >= 6 and data[1] & 0x7F < 126):
        size, head = data[1] & 0x7F, 2
        if size > 125:
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[2:head], "big")
        if len(data) < head + 4 + size:
            break
        assert data[1] & 0x80
        assert data[head : head + 4] == bytes(4)
        found += data[:1] + bytes((data[1] & 0x7F,)) + data[2:head] + data[head + 4 : head + 4 + size]
        data = data[head + 4 + size :]
    return found, data


@contextmanager
def running(flux: FakeFlux) -> Iterator[FakeFlux]:
    """Serve on a free port, in a thread."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: Connection(flux), "127.0.0.1", 0, backlog=1024)
    )
    flux.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield flux
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_ended(server, flux))
        loop.close()


async def _ended(server: asyncio.Server, flux: FakeFlux) -> None:
    server.close()
    while flux.connections:  # else the loop may end before one that is closing is closed
        for connection in flux.connections:
            connection.transport.abort()
        await asyncio.sleep(0)
