"""A socket behind somebody else's listener (Serve's own proxy): frames go out one by one through ASGI.

The listener makes the frames itself, so ours are taken apart again. It is the slow way in; its rules are
those of `Session` like everywhere.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect

from flux_actors import limits
from flux_actors.tenancy.principal import Principal
from flux_api.door import Door
from flux_api.frames import texts_of
from flux_api.socket_session import Session, session_for


class AsgiLink:
    """What waits for one socket, and the two loops that send and hear."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._filled = asyncio.Event()
        self._changed = asyncio.Event()
        self._pressed = False
        self._session: Session | None = None
        self._farewell: str | None = None

    async def serve(self, door: Door, principal: Principal) -> None:
        """Serve until the client goes."""
        session = self._session = session_for(door, self, principal)
        sender = asyncio.create_task(self._send(session))
        try:
            await self._hear(session, sender)
        except WebSocketDisconnect:
            return
        finally:
            session.close()
            sender.cancel()

    def write(self, frames: bytes) -> None:
        """Have frames sent."""
        self._frames.append(frames)
        self._waiting_bytes += len(frames)
        self._filled.set()
        if self._waiting_bytes > limits.socket_pressed_bytes and not self._pressed and self._session:
            self._pressed = True
            self._session.press()

    def waiting_bytes(self) -> int:
        """Return how much the listener has not taken yet."""
        return self._waiting_bytes

    def read_on(self) -> None:
        """Let `_hear` look again."""
        self._changed.set()

    def send_away(self, reason: str) -> None:
        """Have the socket closed once all was sent."""
        self._farewell = reason
        self._filled.set()

    async def _send(self, session: Session) -> None:
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._frames:
                    await self._send_one(self._frames.popleft())
                if self._farewell is not None:
                    await self._socket.close(1008, self._farewell)
                    return
                if self._pressed:
                    self._pressed = False
                    session.relieve()
        except (WebSocketDisconnect, RuntimeError):
            return  # the socket is gone; `_hear` ends the session
        finally:
            self._changed.set()

    async def _send_one(self, frames: bytes) -> None:
        for text in texts_of(frames):
            await self._socket.send_text(text.decode())
        self._waiting_bytes -= len(frames)

    async def _hear(self, session: Session, sender: asyncio.Task[None]) -> None:
        while not sender.done():
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            if self._farewell is not None:
                continue
            text = received.get("text")
            session.hear(text.encode() if text is not None else received.get("bytes") or b"")
            while session.busy and not sender.done():
                self._changed.clear()
                await self._changed.wait()
