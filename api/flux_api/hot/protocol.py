"""The connection's hot way: known heads answered as their bytes come in, everything else parsed as ever.

Between two requests a chunk is looked at before the parser sees it. A GET whose head is known and whose
entity is in the view is answered on the spot. A POST whose head is known has its body collected here and its
answer written when the log has it; what comes in meanwhile is held and looked at afterwards, so that answers
keep the order of requests. A chunk of any other kind goes to httptools and FastAPI whole, and its head is
remembered if it was plain. The parser never sees half of a request that the hot way has begun.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from flux_actors import limits
from flux_actors.errors import FluxError
from flux_api.hot.heads import GET_PREFIX, Head, plain_target
from flux_api.hot.routes import HotRoutes
from flux_api.protocol import DoorProtocol

_CLOSE: Final = b"connection: close\r\n"


class HotProtocol(DoorProtocol):
    """One HTTP connection of a door."""

    def __init__(self, *arguments: Any, hot: HotRoutes, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hot = hot
        self._whole_gets = hot.heads.whole_gets
        self._tally = hot.tally
        self._head: Head | None = None  # of a hot POST whose body comes in, or whose answer is awaited
        self._head_text = b""
        self._rest: deque[bytes] = deque()  # of a large answer that is being written
        self._parts: list[bytes] = []  # of that body
        self._large: bytearray | None = None  # it, when it is so large that to join parts would take long
        self._missing = 0  # bytes of that body that have not come yet
        self._held: list[bytes] = []  # what came in behind a hot POST
        self._held_bytes = 0
        self._paused = False  # whether that was so much that the client has to wait
        self._begun = False  # whether a request began in the chunk that is parsed
        self._first: bytes | None = None  # the chunk that a request began, while its head is parsed
        self._last = False  # the server is closing: the answer under way is the last one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; who sends nothing at all is sent away as well."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Answer a known request, or have the chunk parsed."""
        # To look up a long chunk would cost its hash: that of a batch is a tenth of what it takes in all.
        entity_id = self._whole_gets.get(data) if len(data) <= limits.hot_request_bytes_max else None
        if entity_id is not None and self._head is None and self._is_idle() and not self.flow.write_paused:
            part = self._hot.entity(entity_id)
            if part is not None:
                self._tally.entities += 1
                self._write(part)
                return
        if self._head is not None:
            self._go_on(data)
        elif self.flow.write_paused and self._between:
            self._hold(data)
        elif not (self._is_idle() and self._answered(data)):
            self._parse(data)

    def on_headers_complete(self) -> None:
        """Go on, and remember the head of a request that began its chunk, unless it was refused."""
        chunk, self._first = self._first, None
        super().on_headers_complete()
        if chunk is None or self._refused:
            return
        if self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1":
            self._hot.heads.learn(chunk, self.parser.get_method(), self.url, self.headers)

    def on_message_begin(self) -> None:
        """Only the first request of a chunk has its head at a known place."""
        super().on_message_begin()
        if self._begun:
            self._first = None
        self._begun = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was held; the answer under way finds nobody."""
        self._head, self._held, self._parts, self._large = None, [], [], None
        self._rest.clear()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close, after the answer under way."""
        if self._head is not None and not self._missing:
            self._last = True
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Take nothing more from one who does not read his answers."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on with what was held."""
        super().resume_writing()
        if self._rest:
            self._write_rest()
        else:
            self._release()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle long enough; hot requests only note when they came."""
        left = self._active_at + self.timeout_keep_alive - self.loop.time()
        if self.transport.is_closing():
            return
        answering = self._head is not None and not self._missing and not self._rest
        if answering or left > 0:
            wait_s = max(left, 1.0)
            self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)
        elif self.flow.write_paused:
            self.transport.abort()  # closing would wait for one who does not read
        else:
            super().timeout_keep_alive_handler()

    def _parse(self, data: bytes) -> None:
        self._first = data if self._between else None
        self._begun = False
        super().data_received(data)

    def _comes_in(self) -> bool:
        """Count the body of a hot POST, too."""
        return super()._comes_in() if self._head is None else bool(self._missing)

    def _rests(self) -> bool:
        """Whether no hot POST is under way either."""
        return self._head is None and self._is_idle()

    def _give_up(self, error: FluxError) -> None:
        """Give up a hot POST, too."""
        if self._head is None:
            super()._give_up(error)
        else:
            self._head, self._parts, self._large = None, [], None
            self._refuse_with(error)

    def _answered(self, data: bytes) -> bool:
        """Answer or begin the request in a chunk; False when that is for the parser."""
        if data.startswith(GET_PREFIX):
            end = data.find(b"\r\n")
            head = self._hot.heads.of_get(data[end:])
            target = plain_target(data[:end]) if head is not None else None
            part = None
            if target is not None and head is not None:
                part = self._hot.first_entity(data, target, head)
            if part is None:
                return False
            self._tally.entities += 1
            self._write(part)
            return True
        end = data.find(b"\r\n\r\n") + 4
        head_bytes = data[:end]
        head = self._hot.heads.of_post(head_bytes)
        if head is None or len(data) - end > head.body_bytes or not self._hot.takes(head):
            return False
        self._head, self._head_text, self._active_at = head, head_bytes, self.loop.time()
        self._missing = head.body_bytes - (len(data) - end)
        if not self._missing:
            self._post(data[end:])
            return True
        self._began_at, self._request_bytes = self._active_at, len(data)
        if head.body_bytes > limits.batch_at_once_bytes:
            self._large = bytearray(data[end:])
        else:
            self._parts = [data[end:]]
        return True

    def _go_on(self, data: bytes) -> None:
        """Take more of a body, or hold what is behind it."""
        if not self._missing:
            self._hold(data)
            return
        self._active_at = self.loop.time()
        self._request_bytes += len(data)
        if self._large is not None:
            self._large += data[: self._missing]
        else:
            self._parts.append(data[: self._missing])
        behind = data[self._missing :]
        self._missing -= len(data) - len(behind)
        if behind:
            self._hold(behind)
        if not self._missing:
            self._post(b"".join(self._parts) if self._large is None else self._large)

    def _post(self, body: bytes | bytearray) -> None:
        head = self._head
        self._parts, self._large = [], None
        if head is not None and not self._hot.post(head, body, self._on_answer):
            self._head = None
            self._parse(self._head_text + body)
            self._release()

    def _on_answer(self, answer: bytes | list[bytes] | FluxError) -> None:
        head = self._head
        if head is None or self.transport.is_closing():
            return
        if not isinstance(answer, list):
            self._head = None
        self._active_at = self.loop.time()
        if isinstance(answer, FluxError):
            self._tally.refused(head.route, answer)
            self.transport.write(self._hot.replies.error(self.server_state.default_headers, answer))
        elif isinstance(answer, list):
            self._tally.posts[head.route] += 1
            self._write(answer[0])
            self._rest = deque(answer[1:])
            self._write_rest()
            return
        else:
            self._tally.posts[head.route] += 1
            self._write(answer)
        self._go_on_behind()

    def _write_rest(self) -> None:
        """Write a large answer a piece at a time: the kernel takes milliseconds for the whole of it."""
        if not self._rest or self.flow.write_paused or self.transport.is_closing():
            return
        self._active_at = self.loop.time()
        piece: list[bytes] = []
        size = 0
        while self._rest and size < limits.answer_piece_bytes:
            piece.append(self._rest.popleft())
            size += len(piece[-1])
        self.transport.write(b"".join(piece))
        if not self._rest:
            self._head = None
            self._go_on_behind()
        else:
            self.loop.call_soon(self._write_rest)

    def _go_on_behind(self) -> None:
        """Go on behind an answer."""
        if self._last:
            self.transport.close()
        else:
            self._release()

    def _write(self, part: bytes) -> None:
        self._active_at = self.loop.time()
        whole = _CLOSE + part if self._last else part
        self.transport.write(self._hot.replies.ok(self.server_state.default_headers, whole))

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > limits.hot_held_bytes_max:
            self._wait()

    def _wait(self) -> None:
        self._paused = True
        self.flow.pause_reading()

    def _release(self) -> None:
        """Look at what was held."""
        if self.flow.write_paused:
            return
        held, self._held, self._held_bytes = self._held, [], 0
        if self._paused:
            self._paused = False
            self.flow.resume_reading()
        if held:
            self.data_received(b"".join(held))
