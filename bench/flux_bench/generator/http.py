"""HTTP/1.1 as the generator speaks it: requests as bytes, and where an answer ends."""

from __future__ import annotations

from typing import Final

from flux_bench.workload import Pieces, size_of

INCOMPLETE: Final = 0
UNSIZED: Final = -1
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_CHUNKED: Final = b"transfer-encoding: chunked"


def get(host: str, path: str, headers: str = "") -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode()


def post(host: str, path: str, body: Pieces, headers: str = "") -> Pieces:
    """Return a POST request around the number in its body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size_of(body)}\r\n{headers}\r\n"
    )
    return [head.encode() + body[0], *body[1:]]


def answer_size(data: bytes) -> int:
    """Return the bytes of the answer that `data` begins with, INCOMPLETE or UNSIZED.

    UNSIZED is an answer without Content-Length, whose end must be found in another way.
    """
    end = data.find(_END)
    if end < 0:
        return INCOMPLETE
    at = data.find(_LENGTH, 0, end)
    if at < 0:
        at = data[:end].lower().find(_LENGTH)
        if at < 0:
            return UNSIZED
    start = at + len(_LENGTH)
    return end + 4 + int(data[start : data.find(b"\r", start)])


def body_of(answer: bytes) -> bytes:
    """Return the body of a whole answer, its chunks joined."""
    head, _, rest = answer.partition(_END)
    return _joined(rest) if _CHUNKED in head.lower() else rest


def status_of(answer: bytes) -> int:
    """Return the status code; 0 of what is no answer."""
    return int(answer[9:12]) if answer[:5] == b"HTTP/" and answer[9:12].isdigit() else 0


def is_whole(head: bytes, tail: bytes, received: int) -> bool:
    """Whether an answer of which `received` bytes came is complete, by its head and its last bytes."""
    size = answer_size(head)
    if size == UNSIZED:
        return tail.endswith(b"0\r\n\r\n")
    return size != INCOMPLETE and received >= size


def _joined(rest: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = rest.index(b"\r\n", at)
        size = int(rest[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(rest[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size
