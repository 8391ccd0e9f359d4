"""Whole HTTP answers as bytes, the same as uvicorn, Starlette and the middlewares make them."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from flux_actors.errors import FluxError
from flux_api.responses import error_response

LARGE_BYTES: Final = 500  # from here on answers are compressed for those who take that, and say so
_OK: Final = STATUS_LINE[200]
_VARY: Final = b"Origin"
_VARY_LARGE: Final = b"Accept-Encoding, Origin"


def json_part(body: bytes, first: bytes = b"") -> bytes:
    """Return a 200 behind its date: the header line `first`, those of every JSON answer, and the body."""
    return json_head(len(body), first) + body


def json_head(body_bytes: int, first: bytes) -> bytes:
    """Return what stands between the date and a body of so many bytes."""
    vary = _VARY if body_bytes < LARGE_BYTES else _VARY_LARGE
    return b"%scontent-length: %d\r\ncontent-type: application/json\r\nvary: %s\r\n\r\n" % (
        first,
        body_bytes,
        vary,
    )


class Replies:
    """Answers that begin with the date of the second, which uvicorn keeps."""

    def __init__(self) -> None:
        self._made_of: list[tuple[bytes, bytes]] | None = None
        self._ok = b""
        self._date = b""

    def ok(self, default_headers: list[tuple[bytes, bytes]], part: bytes) -> bytes:
        """Return a 200 whose other bytes are `part`, as `json_part` makes them."""
        if default_headers is not self._made_of:
            self._remember(default_headers)
        return self._ok + part

    def error(self, default_headers: list[tuple[bytes, bytes]], error: FluxError) -> bytes:
        """Return the answer to a request that failed."""
        if default_headers is not self._made_of:
            self._remember(default_headers)
        answer = error_response(error)
        body = bytes(answer.body)
        vary = _VARY if len(body) < LARGE_BYTES else _VARY_LARGE
        headers = _lines([*answer.raw_headers, (b"vary", vary)])
        return b"".join((STATUS_LINE[answer.status_code], self._date, headers, b"\r\n", body))

    def _remember(self, default_headers: list[tuple[bytes, bytes]]) -> None:
        self._made_of = default_headers
        self._date = _lines(default_headers)
        self._ok = _OK + self._date


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])
