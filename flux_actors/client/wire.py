"""What goes over the wire: connections, paths, bodies, and lists line by line while they arrive."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from flux_actors import __version__
from flux_actors.client.address import is_loopback
from flux_actors.client.trust import trust
from flux_actors.domain.entity import EntityBody
from flux_actors.errors import Refused

NDJSON: Final = "application/x-ndjson"

ENTITIES: Final = "/api/state/entities"

_Answer = TypeVar("_Answer")


def decode_answer(response: httpx.Response, shape: type[_Answer]) -> _Answer:
    """Return the body of an answer as `shape`; raises `Refused` when it is none of Flux."""
    return _decode_json(response.content, shape)


def _decode_json(body: bytes, shape: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeError):
        raise Refused("the answer is not one of Flux; check FLUX_URL", 502) from None


def entities_of(response: httpx.Response) -> Iterator[EntityBody]:
    """Yield the entities of a list; a server without NDJSON sends an array, which is read whole."""
    if response.headers.get("Content-Type", "").startswith(NDJSON):
        for line in _lines(response.iter_bytes()):
            yield _decode_json(line, EntityBody)
    else:
        yield from _decode_json(response.read(), list[EntityBody])


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what stands between line feeds; httpx's own splitting would cut JSON text at U+2028."""
    parts: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            yield b"".join(parts)
            parts = [other]
    if last := b"".join(parts):
        yield last


def connections(url: str, timeout_s: float, authorities: Path | None) -> httpx.Client:
    """Return the connections to a server.

    To this machine itself they go without a proxy, which could not reach it, and over plain HTTP without
    the certificates of the world, which take 80 ms to read (a context without any refuses all).
    """
    local = is_loopback(url)
    plain = local and url.startswith("http:")
    return httpx.Client(
        timeout=timeout_s,
        trust_env=not local,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else trust(authorities),
        headers={"User-Agent": f"flux-actors/{__version__}"},
    )


def entity_path(entity_id: str) -> str:
    """Return the path of an entity: slashes stay, every other byte that means something is quoted.

    A segment of dots is quoted as well: as `.` or `..` it would be taken for a step in the path
    (RFC 3986, 5.2.4).
    """
    if not entity_id:
        raise Refused("entity_id must not be empty")
    try:
        segments = [quote(segment, safe="") for segment in entity_id.split("/")]
    except UnicodeEncodeError:
        raise Refused("entity_id must be valid Unicode text") from None
    quoted = [segment.replace(".", "%2E") if segment in {".", ".."} else segment for segment in segments]
    return f"{ENTITIES}/{'/'.join(quoted)}"


def encode_body(body: object) -> bytes:
    """Return JSON; the standard library's encoder, because msgspec's turns NaN into null."""
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"this cannot be sent as JSON: {error}") from None
