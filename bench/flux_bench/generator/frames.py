"""WebSocket frames as the generator speaks them: built with an empty mask, read, or only counted.

A client must mask its frames. The mask here is four zero bytes: correct on the wire, work for the server
as with any other, none for the generator. What a receiver of many thousand messages a second needs is not
the messages but how many came, so `Counter` looks for a text that each holds once, also across two reads.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Final

_TEXT: Final = 0x81
_PONG: Final = 10
_NO_MASK: Final = bytes(4)


def handshake(host: str) -> bytes:
    """Return the request that opens the socket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /api/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(payload: bytes, first: int = _TEXT) -> bytes:
    """Return a client's frame."""
    return frame_head(len(payload), first) + payload


def frame_head(size: int, first: int = _TEXT) -> bytes:
    """Return what stands before `size` bytes of payload."""
    if size < 126:
        return bytes((first, 0x80 | size)) + _NO_MASK
    if size < 1 << 16:
        return bytes((first, 0x80 | 126)) + size.to_bytes(2, "big") + _NO_MASK
    return bytes((first, 0x80 | 127)) + size.to_bytes(8, "big") + _NO_MASK


class FrameReader:
    """Cuts what a server sends into messages; `pongs` is what must be sent back for its pings."""

    def __init__(self) -> None:
        self.pongs: list[bytes] = []
        self.closed = False
        self._rest = b""
        self._parts: list[bytes] = []

    def messages(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes."""
        data = self._rest + data if self._rest else data
        found = []
        at = 0
        while (head := _head_of(data, at)) is not None:
            first, start, end = head
            payload = data[start:end]
            at = end
            if first == _TEXT:
                found.append(payload)
            else:
                found += self._odd(first, payload)
        self._rest = data[at:]
        return found

    def _odd(self, first: int, payload: bytes) -> Iterator[bytes]:
        """Take a control frame or a part of a message."""
        match first & 0x0F:
            case 9:
                self.pongs.append(frame(payload, 0x80 | _PONG))
            case 8:
                self.closed = True
            case 0 | 1 | 2:
                self._parts.append(payload)
                if first & 0x80:
                    yield b"".join(self._parts)
                    self._parts.clear()
            case _:
                return  # a pong, or a code that has no meaning yet


class Counter:
    """Counts a text in a stream that is read into one buffer again and again."""

    def __init__(self, mark: bytes) -> None:
        self.count = 0
        self._mark = mark
        self._tail = b""

    def take(self, buffer: bytearray, size: int) -> None:
        """Count in the first `size` bytes of `buffer`, and across the border to those before."""
        mark = self._mark
        self.count += buffer.count(mark, 0, size)
        keep = len(mark) - 1
        if self._tail:
            # Each side is shorter than the mark: what is found here lies across the border.
            self.count += (self._tail + buffer[: min(keep, size)]).count(mark)
        self._tail = (self._tail + buffer[max(0, size - keep) : size])[-keep:] if keep else b""


def _head_of(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return (first byte, start and end of the payload) of the frame at `at`; `None` if incomplete."""
    have = len(data) - at
    if have < 2:
        return None
    size = data[at + 1]
    start = at + 2
    if size == 126:
        if have < 4:
            return None
        start = at + 4
        size = int.from_bytes(data[at + 2 : start], "big")
    elif size == 127:
        if have < 10:
            return None
        start = at + 10
        size = int.from_bytes(data[at + 2 : start], "big")
    end = start + size
    return (data[at], start, end) if end <= len(data) else None
