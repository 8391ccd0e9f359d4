"""Making answers: JSON by msgspec, errors in one shape."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from flux_actors.errors import FluxError, Refused, Unavailable

LINES: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"
FAULT: Final = "the server met a fault of its own; try again in a second"
_encode = msgspec.json.Encoder().encode


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return `value` as JSON."""
    return raw_json(_encode(value), status, headers)


def raw_json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return bytes that are JSON already."""
    return Response(body, status, headers, "application/json")


def error_response(error: FluxError) -> Response:
    """Return an error in the contract's shape."""
    match error:
        case Refused():
            return json_response({"error": error.message} | error.more, error.status, error.headers)
        case Unavailable():
            headers = {"Retry-After": str(error.retry_after_s)}
            return json_response({"error": error.message}, 503, headers)
        case _:
            return json_response({"error": error.message}, 503, {"Retry-After": "30"})
