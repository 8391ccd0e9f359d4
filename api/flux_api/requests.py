"""Reading requests: bodies within their limit, positions, waits; and where the door is."""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request

from flux_actors import limits
from flux_actors.domain.json_text import parse_json
from flux_actors.domain.position import Packed
from flux_actors.errors import Refused
from flux_actors.tenancy.principal import Principal
from flux_api.door import Door

POSITION_HEADER: Final = "Flux-Position"
_LENGTH_DIGITS_MAX: Final = 18
_TRUE: Final = frozenset({"1", "true", "yes"})


def door_of(connection: HTTPConnection) -> Door:
    """Return the door that this app serves."""
    return cast("Door", connection.app.state.door)


async def principal_of(request: HTTPConnection) -> Principal:
    """Return whom a request comes from; of several `Authorization` headers none counts."""
    headers = request.headers.getlist("authorization")
    return await door_of(request).tenancy.principal_of(", ".join(headers) if headers else None)


def query_of(request: Request) -> dict[str, str]:
    """Return the query parameters; Starlette's own would turn bytes that are no text into other text.

    Raises:
        Refused: the query is not percent-encoded UTF-8.
    """
    try:
        query: bytes = request.scope["query_string"]
        return dict(parse_qsl(query.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise Refused("the query must be percent-encoded UTF-8") from None


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the whole body, never holding more than the limit.

    Raises:
        Refused: 413 as soon as it is known to be larger, 400 for a length that is no number, 415 for a body
            that would have to be decompressed: a small one may become any size.
    """
    _check_coding(request)
    announced = request.headers.get("content-length")
    if announced is not None:
        if not (announced.isascii() and announced.isdigit()):
            raise Refused("Content-Length must be a number of bytes")
        if len(announced) > _LENGTH_DIGITS_MAX or int(announced) > bytes_max:
            raise too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_coding(request: Request) -> None:
    codings = ",".join(request.headers.getlist("content-encoding")).split(",")
    if any(coding.strip().lower() not in {"", "identity"} for coding in codings):
        raise Refused(
            "a body is not decompressed here; send it without Content-Encoding",
            415,
            {"Accept-Encoding": "identity"},
        )


async def read_json(request: Request, bytes_max: int, depth_max: int = limits.json_depth_max) -> Any:
    """Return the body as JSON."""
    return parse_json(await read_body(request, bytes_max), depth_max)


def wants_applied(request: Request) -> bool:
    """Whether the client asked to be answered after its write is visible."""
    wait = query_of(request).get("wait")
    if wait is not None and wait != "applied":
        raise Refused('wait must be "applied" or left out')
    return wait == "applied" or any(map(_prefers_applied, request.headers.getlist("prefer")))


def wanted_positions(request: Request) -> dict[int, Packed]:
    """Return the positions that the answer must include, empty when none were named."""
    text = request.headers.get(POSITION_HEADER) or query_of(request).get("at_least")
    return door_of(request).positions(text) if text else {}


def whole_number(text: str, name: str) -> int:
    """Return a query parameter as an integer."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise Refused(f"{name} must be a whole number, not {text[:64]!r}")
    return int(text)


def is_true(text: str | None) -> bool:
    """Whether a query parameter says yes."""
    return text is not None and text.lower() in _TRUE


def _prefers_applied(header: str) -> bool:
    preferences = (part.partition(";")[0].replace(" ", "").replace('"', "") for part in header.split(","))
    return any(preference.lower() == "wait=applied" for preference in preferences)


def too_large(bytes_max: int) -> Refused:
    """Return the refusal of a body over its limit."""
    return Refused(f"the body may have at most {bytes_max} bytes; split it or ask an admin for more", 413)


def condition_of(request: Request) -> dict[str, Any] | None:
    """Return the condition that the conditional headers state, as it would stand in an event.

    Raises:
        Refused: they state one that events do not know.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and none_match is None:
        return None
    if none_match is not None:
        if none_match.strip() != "*" or match is not None:
            raise Refused('If-None-Match of a publish must be *; or send If-Match: "<etag>" alone')
        return {"absent": True}
    text = (match or "").strip()
    if text == "*":
        return {"present": True}
    if len(text) < 3 or text[0] != '"' or text[-1] != '"' or "," in text:
        raise Refused("If-Match must be one ETag in quotes, as a read gave it, or *")
    return {"etag": text}
