"""An event stream: what one watcher is told, as Server-Sent Events, for those who have no WebSocket.

It takes the hub's frames as a socket's transport does, holds them until the network takes them, and tells the
hub when they are too many: a stream that is not read is conflated like a socket that is not read. They become
events when they are sent, not before: until then streams share their bytes.

An event's `id` is a position in every partition that the stream watches. A browser that lost its connection
comes back with the last one, to any door, and is told what happened since. Updates of one event share its
position, so the last of them has the `id`: what was torn apart is told again as a whole. Before anything has
happened, and while nothing does, an `id` alone says how far the reader is; browsers remember it in silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Final, Protocol

from flux_actors import limits
from flux_actors.domain.place import Place
from flux_api.frames import texts_of
from flux_api.watching.outlet import Piece

_TYPE: Final = len(b'{"type":"')
_METRICS: Final = b'{"type":"metrics_update"'
_METRICS_WITHIN: Final = len(_METRICS) + 10  # behind the head of its frame
_SILENCE: Final = b": nothing new\n\n"


class Reading(Protocol):
    """What a stream asks of the watcher whose it is, and tells it."""

    def press(self) -> None:
        """Hear that too much waits for the network."""
        ...

    def relieve(self) -> None:
        """Hear that nothing waits any more."""
        ...

    def places(self) -> Mapping[int, int] | None:
        """Return the position in each partition up to which all was sent, `None` while nobody can say."""
        ...


class EventStream:
    """What waits for one reader, and the way to it: a `Link` and an `Outlet`.

    `begin` is the position in each partition at which the reader says it is; without it, it gets no `id`
    before it has all that it is to begin with. `metrics`: whether it wants the figures that sockets get.
    """

    def __init__(
        self, reading: Reading, begin: Mapping[int, int] | None = None, *, metrics: bool = False
    ) -> None:
        self._reading = reading
        self._metrics = metrics
        self._place = Place(begin)
        self._pieces: deque[Piece] = deque()
        self._waiting_bytes = 0
        self._filled = asyncio.Event()
        self._ended = False
        self._is_pressed = False

    def write(self, frames: bytes) -> None:
        """Take frames that bring the reader nowhere."""
        if self._metrics or _METRICS not in frames[:_METRICS_WITHIN]:
            self.send((Piece(frames),), batch=False)

    def send(self, pieces: Sequence[Piece], *, batch: bool) -> None:
        """Take frames with the positions that they bring the reader to; a stream knows no batches."""
        del batch
        if self._ended:
            return
        self._pieces += pieces
        self._waiting_bytes += sum(len(piece.frames) for piece in pieces)
        self._filled.set()
        if self._waiting_bytes > limits.socket_pressed_bytes and not self._is_pressed:
            self._is_pressed = True
            self._reading.press()

    def waiting_bytes(self) -> int:
        """Return how much the network has not taken yet."""
        return self._waiting_bytes

    def end(self) -> None:
        """End after what is being sent; the reader comes back with the last `id`."""
        self._ended = True
        self._filled.set()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the stream's text, a part whenever there is something to tell, or nothing was for a while."""
        yield b"retry: %d\n\n" % (limits.stream_retry_s * 1_000)
        while not self._ended:
            if self._pieces:
                text, size = self._take()
                yield text
                self._sent(size)
                await asyncio.sleep(0)  # others have their turn after each part
            elif not self._place and (place := self._bare_place()):
                yield place
            elif await self._is_silent():
                yield self._bare_place() or _SILENCE

    async def _is_silent(self) -> bool:
        """Wait until there is something to tell; return whether there was nothing for too long."""
        self._filled.clear()
        silence_s = limits.stream_silence_s if self._place else limits.stream_look_s
        try:
            async with asyncio.timeout(silence_s):
                await self._filled.wait()
        except TimeoutError:
            return not self._ended and not self._pieces  # what came this very moment is in front of the place
        return False

    def _bare_place(self) -> bytes:
        """Return how far the reader is once it has what was sent, as an event that is none."""
        for partition, position in (self._reading.places() or {}).items():
            self._place.move(partition, position)
        return b"id: %b\n\n" % self._place.text.encode() if self._place else b""

    def _take(self) -> tuple[bytes, int]:
        """Take what goes out in one part; return its text, and how much of what waited that is."""
        events: list[bytes] = []
        size = 0
        while self._pieces and size < limits.fan_out_slice_bytes:
            piece = self._pieces.popleft()
            events += self._events_of(piece)
            size += len(piece.frames)
        return b"".join(events), size

    def _events_of(self, piece: Piece) -> Iterator[bytes]:
        """Yield the events of a piece, the last of them with the place that they bring the reader to."""
        texts = list(texts_of(piece.frames))
        yield from map(_event_of, texts[:-1])
        if piece.partition >= 0 and self._place:
            self._place.move(piece.partition, piece.position)
            yield b"id: %b\n" % self._place.text.encode()
        yield _event_of(texts[-1])

    def _sent(self, size: int) -> None:
        self._waiting_bytes -= size
        if self._is_pressed and not self._pieces:
            self._is_pressed = False
            self._reading.relieve()


def _event_of(text: bytes) -> bytes:
    """Return a message as an event of its type; JSON has no line ends in it."""
    return b"event: %b\ndata: %b\n\n" % (text[_TYPE : text.index(b'"', _TYPE)], text)
