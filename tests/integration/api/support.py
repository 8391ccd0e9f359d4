"""What the API tests speak with: events, raw connections, a watching socket, and the shape of an error."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

ANSWER_S = 10.0


def event(entity_id: str | None, properties: Any = None, **envelope: Any) -> dict[str, Any]:
    """Return a valid event of `entity_id`; `envelope` adds or replaces fields beside the payload."""
    payload: dict[str, Any] = {} if entity_id is None else {"entity_id": entity_id}
    if properties is not None:
        payload["properties"] = properties
    return {"stream": "sensors", "source": "tests", "payload": payload} | envelope


def assert_error(answer: httpx.Response | RawAnswer, status: int | range) -> str:
    """Check the one shape of errors and return the sentence."""
    allowed = status if isinstance(status, range) else range(status, status + 1)
    assert answer.status_code in allowed, (answer.status_code, answer.content[:500])
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.content)
    assert set(body) == {"error"}
    sentence = body["error"]
    assert isinstance(sentence, str)
    assert len(sentence) > 8
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


@dataclass
class RawAnswer:
    """One HTTP answer as it came over the wire; header names in lower case."""

    version: str
    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class RawConnection:
    """A TCP connection that sends exactly the bytes it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), ANSWER_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, to_head: bool = False) -> RawAnswer:
        """Read one answer, interim ones included."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        version, status, *_ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        empty = to_head or status in {"100", "204", "304"}
        return RawAnswer(version, int(status), headers, b"" if empty else self._body(headers))

    def closed_by_server(self) -> bool:
        """Wait for the end of the stream; whatever else arrives is a failure."""
        try:
            rest = self._received + self.socket.recv(65536)
        except ConnectionResetError:
            return True
        assert rest == b"", rest[:200]
        return True

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while self._receive():
            pass
        body, self._received = self._received, b""
        return body

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            self._exactly(2)
        self._exactly(2)
        return body

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            assert self._receive(), f"the server closed after {self._received[:200]!r}"
        place = self._received.index(end) + len(end)
        return self._exactly(place)

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            assert self._receive(), f"the server closed after {self._received[:200]!r}"
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _receive(self) -> bool:
        data = self.socket.recv(65536)
        self._received += data
        return bool(data)


@dataclass
class Watcher:
    """A socket on `/api/ws`, and what it was sent that no test has taken yet."""

    socket: ClientConnection
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def subscribe(self, *patterns: str) -> None:
        """Subscribe and return once the server has done so."""
        for pattern in patterns:
            self.send(type="subscribe", entity_id=pattern)
        self.settle()

    def unsubscribe(self, *patterns: str) -> None:
        """Unsubscribe and return once the server has done so."""
        for pattern in patterns:
            self.send(type="unsubscribe", entity_id=pattern)
        self.settle()

    def settle(self) -> list[dict[str, Any]]:
        """Return what was sent before the answer to a message that this sends now."""
        self.send(type="settle")
        return self.until(lambda message: message["type"] == "error")[:-1]

    def next(self) -> dict[str, Any]:
        """Return the next message that is no metrics."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = json.loads(self.socket.recv(max(0.0, deadline - time.monotonic())))
            if message["type"] != "metrics_update":
                return message
            self.metrics.append(message)

    def until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return all messages up to and including the first that `is_last`."""
        messages = [self.next()]
        while not is_last(messages[-1]):
            messages.append(self.next())
        return messages

    def until_entity(self, entity_id: str, *, of: str) -> list[dict[str, Any]]:
        """Return the messages of namespace `of` up to and including the first about `entity_id`."""
        messages = self.until(lambda message: message.get("entity_id") == entity_id)
        return [m for m in messages if m["entity_id"].startswith(f"{of}/")]

    def next_metrics(self) -> dict[str, Any]:
        """Return the next metrics message."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = json.loads(self.socket.recv(max(0.0, deadline - time.monotonic())))
            if message["type"] == "metrics_update":
                return message

    def close_code(self) -> int | None:
        """Wait for the server to close the socket and return the code it gave."""
        try:
            while True:
                self.socket.recv(ANSWER_S)
        except ConnectionClosed:
            return self.socket.close_code


def about(messages):
    """Return what was told of which entity: a property's name and value, or its deletion."""
    return [
        (m["entity_id"], m["property"], m["value"])
        if m["type"] == "state_update"
        else (m["entity_id"], "deleted", True)
        for m in messages
    ]


def post(body: bytes, *headers: bytes, path: bytes = b"/api/events", version: bytes = b"1.1") -> bytes:
    """Return a POST with its length."""
    lines = [b"POST %s HTTP/%s" % (path, version), b"Host: a", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int) -> bytes:
    """Return `body` in chunks of `size` bytes, ended."""
    parts = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def body_of(namespace: str, n: object = 1) -> bytes:
    return json.dumps(event(f"{namespace}/e", {"n": n})).encode()
