"""The door's WebSocket protocol: uvicorn's, with its transport lent to the session.

uvicorn carries the handshake, pings and the end of a connection. Between the handshake and the end, what
the hub has rendered goes straight to the transport, the same bytes for every socket, and what the client
says comes straight to the session; control frames and fragments go through the `websockets` library, as
uvicorn has it. A client that does not read its farewell is cut off soon after.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from flux_actors import limits
from flux_actors.tenancy.principal import Principal
from flux_api.connections import Connections
from flux_api.door import Door
from flux_api.socket_session import Session, session_for
from flux_api.socket_stream import Kind, SocketStream

_EXTENSION: Final = "flux.socket"
_INVALID_TEXT: Final = 1007
_AGAINST_THE_RULES: Final = 1008
_TRY_LATER: Final = 1013
_LINGER_S: Final = 2.0


class DoorSocket(WebSocketsSansIOProtocol):
    """One WebSocket connection of a door."""

    _session: Session | None = None
    _gone: asyncio.Future[None] | None = None
    _reads = True

    def __init__(self, *arguments: Any, crowd: Connections | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._crowd = crowd  # has a place for this connection, which it had before it became a socket
        self._stream = SocketStream(limits.socket_message_bytes_max)

    async def serve(self, door: Door, principal: Principal) -> None:
        """Lend the transport to a session until the connection ends; called when it was accepted."""
        if self.disconnected or self.transport.is_closing():
            return
        self.transport.set_write_buffer_limits(high=limits.socket_pressed_bytes)
        self._gone = self.loop.create_future()
        self._session = session_for(door, self, principal)
        try:
            self._hear()
            await self._gone
        finally:
            self._end()

    # What the listener asks.

    def look(self, now_s: float) -> None:
        """Judge nothing: pings tell whether the client is there, and a slow one is conflated."""

    @property
    def coming_bytes(self) -> int:
        """How much of messages has come that are not whole."""
        return self._stream.waiting_bytes + sum(map(len, self.frames))

    def give_up(self) -> None:
        """End, for all sockets together hold more of such messages than the door can."""
        if self._session is not None:
            self._stream, self.frames = SocketStream(limits.socket_message_bytes_max), []
            self.conn.send_close(_TRY_LATER, "the door holds all the messages it can; come again")
            self.handle_parser_exception()

    # What a session asks of its link.

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        if not self.transport.is_closing():
            self.transport.write(frames)

    def waiting_bytes(self) -> int:
        """Return how much the network has not taken yet."""
        return self.transport.get_write_buffer_size()

    def read_on(self) -> None:
        """Read again what the client says, in the event loop's next turn."""
        self.loop.call_soon(self._hear)

    def send_away(self, reason: str) -> None:
        """End, for the client keeps to no rule."""
        if self._session is not None:
            self.conn.send_close(_AGAINST_THE_RULES, reason)
            self.handle_parser_exception()

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        """Hear the client; what comes before the session has begun is kept for it."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        if self._gone is None or not self._gone.done():
            self._stream.add(data)
            self._hear()

    def pause_writing(self) -> None:
        """Hear that the client reads too slowly."""
        super().pause_writing()
        if self._session is not None:
            self._session.press()

    def resume_writing(self) -> None:
        """Hear that all was sent."""
        super().resume_writing()
        if self._session is not None:
            self._session.relieve()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that the connection is gone."""
        self._end()
        if self._crowd is not None:
            self._crowd.leave(self.client[0] if self.client is not None else "")
            self._crowd.close_socket()
            self._crowd = None
        super().connection_lost(exc)

    # What uvicorn does at the handshake, for fragments and at the end.

    def handle_connect(self, event: Request) -> None:
        """Let the app find this protocol in the scope of the handshake."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast("dict[str, Any]", self.scope["extensions"])[_EXTENSION] = self

    def send_receive_event_to_app(self) -> None:
        """Take a message that came in fragments."""
        text = b"".join(self.frames)
        self.frames = []
        self._tell(text, is_text=self.curr_msg_data_type == "text")

    def handle_close(self, event: Frame) -> None:
        """End, for the client says so."""
        self._end()
        super().handle_close(event)
        self._leave_soon()

    def handle_parser_exception(self) -> None:
        """End, for the client breaks the protocol.

        uvicorn would close at once; with unread input that resets the connection before the client has
        read why. So what it still sends is read and forgotten, for a bounded time.
        """
        self._end()
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():  # TLS knows no half of a connection
            self.transport.write_eof()
        self.close_sent = True
        self.close_timer = self.loop.call_later(_LINGER_S, self.transport.abort)
        self._read_more()

    def keepalive_timeout(self) -> None:
        """End, for the client does not answer pings."""
        self._end()
        super().keepalive_timeout()
        self._leave_soon()

    def shutdown(self) -> None:
        """End, for the door closes."""
        self._end()
        if not self.transport.is_closing():
            super().shutdown()
        self._leave_soon()

    def _hear(self) -> None:
        """Take what the client has said, as far as the session is ready for it."""
        while self._session is not None and not self._session.busy:
            part = self._stream.take(fragmented=self.conn.current_size is not None)
            if part is None:
                self._read_more()
                return
            if part.kind is Kind.TEXT or part.kind is Kind.BINARY:
                self._tell(part.data, is_text=part.kind is Kind.TEXT)
            else:
                super().data_received(part.data)
        if not self.close_sent:
            self._stop_reading()

    def _tell(self, text: bytes, *, is_text: bool) -> None:
        if self._session is None:
            return
        if is_text and not _is_text(text):
            self.conn.send_close(_INVALID_TEXT)
            self.handle_parser_exception()
        else:
            self._session.hear(text)

    def _read_more(self) -> None:
        if not self._reads and not self.transport.is_closing():
            self._reads = True
            self.transport.resume_reading()

    def _stop_reading(self) -> None:
        if self._reads and not self.transport.is_closing():
            self._reads = False
            self.transport.pause_reading()

    def _end(self) -> None:
        """Lend the transport no longer: from here on only uvicorn writes."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _leave_soon(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(_LINGER_S, self.transport.abort)


def protocol_of(socket: WebSocket) -> DoorSocket | None:
    """Return the protocol behind a socket that came in through the door's own listener."""
    return cast("DoorSocket | None", socket.scope.get("extensions", {}).get(_EXTENSION))


def _is_text(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
