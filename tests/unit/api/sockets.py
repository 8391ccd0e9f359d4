"""Clients of `/api/ws` on both transports, with one face: the door's own protocol, and ASGI."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from flux_actors import limits
from flux_api.app import build_app
from flux_api.frames import texts_of
from flux_api.socket_protocol import DoorSocket
from tests.unit.api.standing import DEADLINE_S, Standing


class FakeLink:
    """A socket's transport: it takes everything at once, or nothing while `reads` is false."""

    def __init__(self) -> None:
        self.reads = True
        self.written: list[bytes] = []
        self._taken: list[dict[str, Any]] = []
        self._waiting_bytes = 0

    def write(self, frames: bytes) -> None:
        assert frames
        self.written.append(frames)
        self._waiting_bytes += 0 if self.reads else len(frames)

    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def take(self) -> list[dict[str, Any]]:
        """Return the messages that were written and not taken yet."""
        messages = [json.loads(text) for frames in self.written for text in texts_of(frames)]
        self.written, self._waiting_bytes = [], 0
        return messages


class Client(ABC):
    """What both clients share."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    @abstractmethod
    def send(self, data: str | bytes) -> None:
        """Send one message."""

    def say(self, **message: Any) -> None:
        self.send(json.dumps(message))

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message.get("type") == kind]


class AsgiClient(Client):
    """A client's end of one socket of the ASGI app."""

    def __init__(self, standing: Standing, path: str = "/api/ws") -> None:
        super().__init__()
        self.taken = 0
        self._reads = asyncio.Event()
        self._reads.set()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        app = build_app(standing.door.settings, standing.door)
        self._task = asyncio.create_task(app(self._scope(path), self._receive, self._send))
        self._sent.put_nowait({"type": "websocket.connect"})

    def send(self, data: str | bytes) -> None:
        self._sent.put_nowait(
            {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}
        )

    def stop_reading(self) -> None:
        self._reads.clear()

    def read_again(self) -> None:
        self._reads.set()

    async def close(self) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(DEADLINE_S):
            await self._task

    async def _receive(self) -> dict[str, Any]:
        self.taken += 1
        return await self._sent.get()

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            return
        await self._reads.wait()
        self.received.append(json.loads(message["text"]) if message["type"] == "websocket.send" else message)

    @staticmethod
    def _scope(path: str) -> dict[str, Any]:
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


class LoopbackTransport(asyncio.Transport):
    """A TCP connection without a network: its other end is a `RawClient`."""

    def __init__(self, client: RawClient) -> None:
        super().__init__()
        self.waiting = bytearray()
        self.high = 65_536
        self.reads = True  # the server reads
        self.closing = False
        self.closed = False
        self.ended = False
        self.secured = False  # like TLS, which knows no half of a connection
        self.late: list[bytes] = []  # written after the end
        self._client = client
        self._paused = False

    def write(self, data: bytes) -> None:
        if self.closing or self.ended:
            self.late.append(data)  # an assertion here would end in the log of the event loop
            return
        self.waiting += data
        self.flush()
        if len(self.waiting) > self.high and not self._paused:
            self._paused = True
            self._client.protocol.pause_writing()

    def flush(self) -> None:
        """Deliver to a client that reads; low water is an empty buffer."""
        if not self._client.reads:
            return
        data, self.waiting = bytes(self.waiting), bytearray()
        self._client.hear(data)
        if self._paused and not self.closed:
            self._paused = False
            self._client.protocol.resume_writing()
        if self.closing:
            self._lose()

    def can_write_eof(self) -> bool:
        return not self.secured

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.flush()

    def abort(self) -> None:
        self.closing = True
        self.waiting.clear()
        self._lose()

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == limits.socket_pressed_bytes
        self.high = high

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True
        asyncio.get_running_loop().call_soon(self._client.push)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def _lose(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._client.protocol.connection_lost, None)


class RawClient(Client):
    """A client's end of one connection to the door's own protocol; the client's side is `websockets`."""

    def __init__(
        self,
        standing: Standing,
        path: str = "/api/ws",
        headers: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        super().__init__()
        self.reads = True
        self.frames: list[Frame] = []
        self.response: Response | None = None
        self.pending = bytearray()
        self.state = ServerState()
        app = build_app(standing.door.settings, standing.door)
        settings = uvicorn.Config(
            app,
            ws=DoorSocket,
            ws_per_message_deflate=False,
            ws_max_size=limits.socket_message_bytes_max,
            log_config=None,
            lifespan="off",
            **config,
        )
        settings.load()
        self.transport = LoopbackTransport(self)
        self.protocol = DoorSocket(settings, self.state, {}, asyncio.get_running_loop())
        self.protocol.connection_made(self.transport)
        self.far = ClientProtocol(parse_uri(f"ws://flux{path}"), max_size=None)
        request = self.far.connect()
        for name, value in (headers or {}).items():
            request.headers[name.lower()] = value  # as the HTTP protocol hands them on
        if headers and "Sec-WebSocket-Protocol" in headers:
            self.far.available_subprotocols = [Subprotocol("flux")]
        self.far.send_request(request)
        self.push()

    def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            self.far.send_text(data.encode())
        else:
            self.far.send_binary(data)
        self.push()

    def push(self, data: bytes = b"") -> None:
        """Send bytes, and what the client's protocol has to say, as far as the server reads."""
        self.pending += data + b"".join(self.far.data_to_send())
        if self.transport.reads and self.pending and not self.transport.closing:
            data, self.pending = bytes(self.pending), bytearray()
            self.protocol.data_received(data)

    def hear(self, data: bytes) -> None:
        if data:
            self.far.receive_data(data)
        assert self.far.parser_exc is None, self.far.parser_exc
        for event in self.far.events_received():
            if isinstance(event, Response):
                self.response = event
                continue
            self.frames.append(event)
            if event.opcode is Opcode.TEXT:
                assert event.fin
                self.received.append(json.loads(bytes(event.data)))

    def stop_reading(self) -> None:
        self.reads = False

    def read_again(self) -> None:
        self.reads = True
        self.transport.flush()

    async def close(self) -> None:
        self.reads = True
        if self.transport.ended:
            self.transport.close()
        if not self.transport.closing:
            self.far.send_close(1000)
            self.transport.reads = True
            self.push()
        self.transport.flush()
        assert self.transport.late == []
        async with asyncio.timeout(DEADLINE_S):
            while self.state.connections or self.state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0)


CLIENTS = {"raw": RawClient, "asgi": AsgiClient}
