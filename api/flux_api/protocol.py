"""The door's HTTP protocol: uvicorn's, with bounds on what a client may send, hold and take its time for.

uvicorn's httptools protocol takes a head of any length, however slowly it comes in, and answers a broken
request in plain text. Here the head is counted while it comes in (431, or 414 when the request line alone is
too long), so are the trailers of a chunked body, which nobody reads; what the parser refuses is answered in
JSON, and the connection closes after it: what follows a broken request cannot be trusted. Answers to earlier
pipelined requests are sent first.

A connection needs a place at the door (503 without one). The door looks at each once a second (`look`): a
request must come in within 20 seconds and one more for each 8 KiB of it (408), a client that takes nothing of
its answer for a minute is cut off, and a connection on which nothing happens ends. What waits for the door
itself, because it reads no further for now, is not the client's slowness.

An upgrade that is not offered (h2c, which some clients always ask for) is no reason to lose a body: httptools
ends such a request at its head, so a parser that has not heard of the upgrade goes on from there. Else the
body would be read as the next request.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn._types import ASGISendCallable, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from flux_actors import limits
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_api.connections import Connections
from flux_api.framing import framing_of, refusal_of
from flux_api.responses import error_response

CONNECTION: Final = "flux.connection"  # in the scope of a request: the protocol that it came in through
_LINGER_S: Final = 2.0
_LOOK_S: Final = 0.01
_ANSWER_S: Final = 30.0  # for the answers to earlier requests of the connection
_TOO_SLOW: Final = Refused("the request came in too slowly; send it in one go, or over a faster network", 408)
_TOO_MUCH: Final = Unavailable("the door holds all the requests it can; send it again")
_SOCKET_VERSION: Final = b"13"
_KEY_BYTES: Final = 16


class DoorProtocol(HttpToolsProtocol):
    """One HTTP connection of a door."""

    _end_stream: Callable[[], None] | None = None  # of an answer that has no end by itself
    _head_bytes = 0  # of a head that comes in, as far as it is known
    _fresh_bytes = 0  # of a read that began between two requests
    _bare_bytes = 0  # of a body that comes in, since there last was any body in them
    _had_body = False
    _request_bytes = 0  # of a request that comes in
    _began_at = 0.0  # that request
    _active_at = 0.0  # when something last happened between two requests
    _stalled_at = 0.0  # when the client last took something of its answer, or had to take nothing
    _untaken_bytes = 0  # of that answer, a look ago
    _in_head = True
    _between = True
    _refused = False
    _resumes = False  # a parser is told what it needs to know of a request that another one began
    _placed = False
    _turned_away = False

    def __init__(self, *arguments: Any, crowd: Connections | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._crowd = crowd or Connections()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or turn the client away."""
        super().connection_made(transport)
        self._active_at = self._stalled_at = self.loop.time()
        full = self._crowd.enter(self._address())
        self._placed = full is None
        if full is not None:
            self._turn_away(full)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self._placed:
            self._placed = False
            self._crowd.leave(self._address())
        if self._turned_away:
            self._turned_away = False
            self._crowd.turned_away -= 1
        if self._end_stream is not None:
            self._end_stream()  # uvicorn tells only the newest request that the client has gone
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the head, then parse."""
        if self._refused:
            return  # what follows a refused request is read and forgotten
        self._active_at = self.loop.time()
        self._request_bytes += len(data)
        self._fresh_bytes = len(data) if self._between else 0
        self._had_body = False
        if self._in_head:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if not (self._between or self._refused):
            self._check_growth(len(data))

    def _feed(self, data: bytes) -> None:
        """Have bytes parsed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._on_upgrade(data[upgrade.args[0] :])
        except (httptools.HttpParserError, UnicodeError, ValueError):
            self.send_400_response("")

    def _on_upgrade(self, rest: bytes) -> None:
        """Become a socket, or go on with a request whose upgrade is not offered."""
        if self._refused:
            return
        framing = framing_of(self.headers)
        if not self._should_upgrade():
            self._go_on_without_upgrade(framing, rest)
        elif framing or rest:
            self._refuse(400, "a WebSocket handshake has no body, and nothing follows it before its answer")
        else:
            self.handle_websocket_upgrade()

    def _go_on_without_upgrade(self, framing: list[tuple[bytes, bytes]], rest: bytes) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        if framing:
            head = b"".join([b"%s: %s\r\n" % header for header in framing])
            self._resumes = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
            self._resumes = False
        if rest:
            self._feed(rest)

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        if self._resumes:
            return
        self._in_head = True
        self._between = False
        self._head_bytes = self._request_bytes = self._fresh_bytes
        self._fresh_bytes = self._bare_bytes = 0
        self._began_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Bound the request line."""
        if self._resumes:
            return
        super().on_url(url)
        if len(self.url) > limits.header_block_bytes_max and not self._refused:
            self._refuse_head(url_only=True)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are dropped, for they come when the request is judged."""
        if self._in_head and not self._resumes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Bound the head as a whole, then go on."""
        self._in_head = False
        if self._refused or self._resumes:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > limits.header_block_bytes_max:
            self._refuse_head(url_only=False)
            return
        unclear = refusal_of(self.parser.get_http_version(), self.headers)
        if unclear is not None:
            self._refuse_with(unclear)
            return
        cast("dict[str, Any]", self.scope)[CONNECTION] = self
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope and self.scope["http_version"] == "1.0":
            # uvicorn has no hook for the cycles it makes.
            cycle.send = _without_chunks(cycle, cycle.send)  # type: ignore[method-assign,assignment]

    def on_body(self, body: bytes) -> None:
        """Take body bytes of a request that was not refused."""
        self._had_body = True
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request that was not refused."""
        if self.parser.should_upgrade() and not self._should_upgrade() and framing_of(self.headers):
            return  # only its head: the body comes yet
        self._between = True
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request; one who sends many at once waits until all of them are answered."""
        super().on_response_complete()
        self._active_at = self.loop.time()
        if self.pipeline:
            self.flow.pause_reading()  # uvicorn reads on after each answer, and the queue would grow for ever

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; uvicorn's text says no more than this one."""
        del msg
        self._refuse(400, "the request is not valid HTTP/1.1")

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the WebSocket protocol, unless the handshake cannot succeed."""
        headers = dict(self.headers)
        if self.scope["method"] != "GET":
            self._refuse(400, "open the WebSocket with GET")
        elif headers.get(b"sec-websocket-version") != _SOCKET_VERSION:
            self._refuse(426, "open the WebSocket with Sec-WebSocket-Version: 13")
        elif not _is_key(headers.get(b"sec-websocket-key", b"")):
            self._refuse(400, "a WebSocket handshake needs a Sec-WebSocket-Key: 16 bytes in base64")
        elif (full := self._crowd.open_socket()) is not None:
            self._refuse_with(full)
        else:
            self._placed = False  # from here on the socket has the place
            super().handle_websocket_upgrade()

    def begin_stream(self, end: Callable[[], None]) -> None:
        """Let the answer go on without an end, until the client goes or the door closes and calls `end`.

        Raises:
            Unavailable: the door has all the sockets and streams it can take.
        """
        full = self._crowd.open_socket()
        if full is not None:
            raise full
        self._end_stream = end

    def stream_ended(self) -> None:
        """Hear that such an answer has ended."""
        if self._end_stream is not None:
            self._end_stream = None
            self._crowd.close_socket()

    def shutdown(self) -> None:
        """Close, after the answer under way; one without an end is ended."""
        if self._end_stream is not None:
            self._end_stream()
        super().shutdown()

    def look(self, now_s: float) -> None:
        """Judge what the connection does; the door calls this once a second, with its loop's time."""
        if self._refused or self.transport.is_closing():
            return
        if self._stalls(now_s):
            self.transport.abort()
        elif self.flow.read_paused:
            self._began_at = self._active_at = now_s  # the client waits for us
        elif self._comes_in():
            if now_s - self._began_at > _time_for(self._request_bytes):
                self._give_up(_TOO_SLOW)
        elif self._rests() and not self._untaken_bytes and now_s - self._active_at > self.timeout_keep_alive:
            self.transport.close()

    def _check_growth(self, size: int) -> None:
        """Bound a head that does not end, and what comes in a body's place: trailers, chunk extensions."""
        if self._in_head:
            if self._head_bytes > limits.header_block_bytes_max:
                self._refuse_head(url_only=len(self.url) > limits.header_block_bytes_max)
            return
        self._bare_bytes = 0 if self._had_body else self._bare_bytes + size
        if self._bare_bytes > limits.header_block_bytes_max:
            self._refuse_head(url_only=False)

    def _comes_in(self) -> bool:
        """Whether a part of a request is there and the rest is not."""
        return not self._between

    def _rests(self) -> bool:
        """Whether nothing is under way."""
        return self._is_idle()

    def _is_idle(self) -> bool:
        """Whether the parser stands between two requests and all answers were given."""
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is None or cycle.response_complete
        return self._between and answered and not self.pipeline and not self._refused

    def _stalls(self, now_s: float) -> bool:
        """Whether the client has taken nothing of its answer for long."""
        untaken_bytes = self.transport.get_write_buffer_size()
        if not untaken_bytes or untaken_bytes != self._untaken_bytes:
            self._untaken_bytes = untaken_bytes
            self._stalled_at = now_s
        return now_s - self._stalled_at > limits.stalled_s

    @property
    def coming_bytes(self) -> int:
        """How much has come of a request that is not whole."""
        return self._request_bytes if self._comes_in() and not self._refused else 0

    def give_up(self) -> None:
        """Give up a request that comes in, for all together are more than the door can hold."""
        self._give_up(_TOO_MUCH)

    def _give_up(self, error: FluxError) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if not self._in_head and cycle is not None and cycle.response_complete and not self.pipeline:
            self.transport.close()  # it was answered before its body came
        else:
            self._refuse_with(error)

    def _address(self) -> str:
        return self.client[0] if self.client is not None else ""

    def _turn_away(self, full: Unavailable) -> None:
        """Tell a client that there is no place, before it asks; what it asks is read and forgotten."""
        if self._crowd.turned_away >= limits.turned_away_max:
            self._refused = True
            self.transport.abort()
            return
        self._crowd.turned_away += 1
        self._turned_away = True
        self._refuse_with(full)
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _refuse_head(self, *, url_only: bool) -> None:
        if url_only:
            self._refuse(414, f"the request line may have at most {limits.header_block_bytes_max} bytes")
        else:
            self._refuse(431, f"the headers may have at most {limits.header_block_bytes_max} bytes together")

    def _refuse(self, status: int, text: str) -> None:
        self._refuse_with(Refused(text, status))

    def _refuse_with(self, error: FluxError) -> None:
        if self._refused:
            return
        self._refused = True
        self._abandon()
        self._refuse_after(error, self.loop.time() + _ANSWER_S)

    def _abandon(self) -> None:
        """Give up the request whose body broke off: this refusal is its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self.pipeline or cycle.response_started or not cycle.more_body:
            return
        cycle.response_complete = cycle.disconnected = True
        cycle.message_event.set()

    def _refuse_after(self, error: FluxError, deadline: float) -> None:
        """Let the answers before this one go first, for a bounded time."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._write_refusal(error)
        elif self.loop.time() > deadline:
            self.transport.close()  # a refusal now would be read as the answer to the request before
        else:
            self.loop.call_later(_LOOK_S, self._refuse_after, error, deadline)

    def _write_refusal(self, error: FluxError) -> None:
        if self.transport.is_closing():
            return
        answer = error_response(error)
        self._crowd.count_refusal(answer.status_code)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        head = b"".join([b"%s: %s\r\n" % header for header in headers])
        self.transport.write(STATUS_LINE[answer.status_code] + head + b"\r\n" + bytes(answer.body))
        # Closing at once with unread input would reset the connection before the answer is read.
        if self.transport.can_write_eof():  # TLS knows no half of a connection
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def _time_for(request_bytes: int) -> float:
    """Return the seconds that a request may take of which so many bytes have come."""
    return limits.request_grace_s + request_bytes / limits.request_bytes_per_s_min


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
