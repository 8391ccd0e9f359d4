"""The door's HTTP protocol: uvicorn's, with bounds on the request head and errors in the API's shape.

uvicorn's httptools protocol takes a head of any length and answers a broken request in plain text. Here
the head is counted while it comes in (431, or 414 when the request line alone is too long), what the
parser refuses is answered in JSON, and the connection closes after it: what follows a broken request
cannot be trusted. Answers to earlier pipelined requests are sent first.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import httptools
from uvicorn._types import ASGISendCallable, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from flux_actors import limits

_LINGER_S: Final = 2.0
_LOOK_S: Final = 0.01
_ANSWER_S: Final = 30.0  # for the answers to earlier requests of the connection
_SOCKET_VERSION: Final = b"13"
_KEY_BYTES: Final = 16


class DoorProtocol(HttpToolsProtocol):
    """One HTTP connection of a door."""

    _head_bytes = 0  # of a head that comes in, as far as it is known
    _fresh_bytes = 0  # of a read that began between two requests
    _in_head = True
    _between = True
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Count the head, then parse."""
        if self._refused:
            return  # what follows a refused request is read and forgotten
        self._fresh_bytes = len(data) if self._between else 0
        if self._in_head:
            self._head_bytes += len(data)
        try:
            super().data_received(data)
        except (httptools.HttpParserError, UnicodeError, ValueError):
            self.send_400_response("")
        if (
            self._in_head
            and not self._between
            and self._head_bytes > limits.header_block_bytes_max
            and not self._refused
        ):
            self._refuse_head(url_only=len(self.url) > limits.header_block_bytes_max)

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        self._in_head = True
        self._between = False
        self._head_bytes = self._fresh_bytes
        self._fresh_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Bound the request line."""
        super().on_url(url)
        if len(self.url) > limits.header_block_bytes_max and not self._refused:
            self._refuse_head(url_only=True)

    def on_headers_complete(self) -> None:
        """Bound the head as a whole, then go on."""
        self._in_head = False
        if self._refused:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > limits.header_block_bytes_max:
            self._refuse_head(url_only=False)
            return
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope and self.scope["http_version"] == "1.0":
            # uvicorn has no hook for the cycles it makes.
            cycle.send = _without_chunks(cycle, cycle.send)  # type: ignore[method-assign,assignment]

    def on_body(self, body: bytes) -> None:
        """Take body bytes of a request that was not refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request that was not refused."""
        self._between = True
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request; one who sends many at once waits until all of them are answered."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # uvicorn reads on after each answer, and the queue would grow for ever

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; uvicorn's text says no more than this one."""
        del msg
        self._refuse(400, "the request is not valid HTTP/1.1")

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the WebSocket protocol, unless the handshake cannot succeed."""
        headers = dict(self.headers)
        if headers.get(b"sec-websocket-version") != _SOCKET_VERSION:
            self._refuse(426, "open the WebSocket with Sec-WebSocket-Version: 13")
        elif not _is_key(headers.get(b"sec-websocket-key", b"")):
            self._refuse(400, "a WebSocket handshake needs a Sec-WebSocket-Key: 16 bytes in base64")
        else:
            super().handle_websocket_upgrade()

    def _refuse_head(self, *, url_only: bool) -> None:
        if url_only:
            self._refuse(414, f"the request line may have at most {limits.header_block_bytes_max} bytes")
        else:
            self._refuse(431, f"the headers may have at most {limits.header_block_bytes_max} bytes together")

    def _refuse(self, status: int, text: str) -> None:
        if self._refused:
            return
        self._refused = True
        self._abandon()
        self._refuse_after(status, text, self.loop.time() + _ANSWER_S)

    def _abandon(self) -> None:
        """Give up the request whose body broke off: this refusal is its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self.pipeline or cycle.response_started or not cycle.more_body:
            return
        cycle.response_complete = cycle.disconnected = True
        cycle.message_event.set()

    def _refuse_after(self, status: int, text: str, deadline: float) -> None:
        """Let the answers before this one go first, for a bounded time."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._write_refusal(status, text)
        elif self.loop.time() > deadline:
            self.transport.close()  # a refusal now would be read as the answer to the request before
        else:
            self.loop.call_later(_LOOK_S, self._refuse_after, status, text, deadline)

    def _write_refusal(self, status: int, text: str) -> None:
        if self.transport.is_closing():
            return
        body = b'{"error":"%s"}' % text.encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(
            body
        )
        self.transport.write(STATUS_LINE[status] + head + body)
        # Closing at once with unread input would reset the connection before the answer is read.
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def _without_chunks(cycle: RequestResponseCycle, send: ASGISendCallable) -> ASGISendCallable:
    """Return a `send` whose body of unknown length ends with the connection, as HTTP/1.0 knows it."""
    until_closed = False

    async def send_old(message: ASGISendEvent) -> None:
        nonlocal until_closed
        if message["type"] == "http.response.start":
            until_closed = all(name.lower() != b"content-length" for name, _ in message.get("headers", []))
            if until_closed:
                cycle.chunked_encoding = False
        elif message["type"] == "http.response.body" and until_closed:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_old
