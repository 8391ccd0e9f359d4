"""Heads that were seen before: a client on a kept connection sends the same header bytes again and again.

Once httptools has parsed a head and it turned out plain, its exact bytes are remembered with what they
mean, and the next request with the same bytes needs no parse. Plain means: HTTP/1.1 that keeps the
connection, no query, and no header beside those that change nothing about these answers. Of a GET all behind
the request line is remembered, for the ids differ. What a head means is the same on every connection
(limits are looked up when it is used), so a door has one memo. It is bounded, forgets all when full, and
forgets all when namespaces or tokens change: the same bytes may then stand for somebody else, or for nobody.
Beside the heads it keeps the whole requests that were answered last, each with its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.tenancy.principal import Kind, Principal

GET_PREFIX: Final = b"GET /api/state/entities/"
LINE_END: Final = b" HTTP/1.1"
_END: Final = b"\r\n\r\n"
_LENGTH_DIGITS_MAX: Final = 10
_COMPRESSED: Final = (b"gzip", b"zstd", b"*")
_PLAIN_TARGET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$&'()*+,;="
# Headers that change nothing about an answer of the hot way, beside those looked at below.
_IGNORED: Final = frozenset(
    {
        b"accept",  # only a list comes in other forms
        b"accept-language",
        b"cache-control",
        b"content-type",
        b"host",
        b"pragma",
        b"user-agent",
    }
)


class Route(Enum):
    """What a hot request asks for."""

    ENTITY = "GET one entity"
    EVENT = "POST one event"
    BATCH = "POST a batch"
    MANY = "read by a list of ids"


_POSTS: Final = {
    b"/api/events": Route.EVENT,
    b"/api/events/batch": Route.BATCH,
    b"/api/state/entities/get": Route.MANY,
}


class Head(NamedTuple):
    """What a plain head says."""

    route: Route
    body_bytes: int
    compresses: bool  # whether the client takes compressed answers: large ones are FastAPI's then
    principal: Principal  # whom its `Authorization` stands for


def plain_target(line: bytes) -> bytes | None:
    """Return the id in the request line of a GET of one entity, `None` unless it stands there as it is."""
    if not (line.startswith(GET_PREFIX) and line.endswith(LINE_END)):
        return None
    target = line[len(GET_PREFIX) : -len(LINE_END)]
    return target if target and not target.translate(None, _PLAIN_TARGET) else None


class HeadMemo:
    """The plain heads that a door has seen."""

    def __init__(self, known: Callable[[str | None], Principal]) -> None:
        self._known = known
        self._gets: dict[bytes, Head] = {}
        self._posts: dict[bytes, Head] = {}
        self.whole_gets: dict[bytes, str] = {}  # whole requests that were answered here, and the id in each

    def of_get(self, rest: bytes) -> Head | None:
        """Return what the bytes behind the request line of a GET say, if they are known."""
        return self._gets.get(rest)

    def of_post(self, head: bytes) -> Head | None:
        """Return what a head says, the empty line included, if it is known."""
        return self._posts.get(head)

    def remember_whole(self, request: bytes, entity_id: str) -> None:
        """Remember a GET that was taken apart once: 0.4 µs for the next one with its bytes instead of 1.3."""
        if len(request) <= limits.hot_request_bytes_max:
            if len(self.whole_gets) >= limits.hot_requests_max:
                self.whole_gets.clear()
            self.whole_gets[request] = entity_id

    def forget(self) -> None:
        """Forget all, for a token may stand for another principal now, and an entity may be hidden."""
        self._gets.clear()
        self._posts.clear()
        self.whole_gets.clear()

    def learn(self, chunk: bytes, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember the head at the beginning of `chunk`, which httptools read as the other arguments say."""
        end = chunk.find(_END) + len(_END)
        head = chunk[:end]
        if (
            end < len(_END)
            or end > limits.hot_head_bytes_max
            or not _is_as_parsed(head, method, url, headers)
        ):
            return
        found = _head_of(method, url, headers, self._known)
        if found is None:
            return
        table, key = (self._posts, head)
        if found.route is Route.ENTITY:
            table, key = self._gets, head[head.find(b"\r\n") :]
        if len(table) >= limits.hot_heads_max:
            table.clear()
        table[key] = found


def _is_as_parsed(head: bytes, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the bytes hold just this request line and these headers, one a line, each ended by CR LF.

    httptools forgives other forms (bare line feeds, folded lines, empty lines in front); of these it alone
    knows where the head ends.
    """
    lines = len(headers) + 2  # the request line and the empty one
    return head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r") == lines and head.startswith(
        method + b" " + url + LINE_END + b"\r\n"
    )


class _Said(NamedTuple):
    """What the headers of a plain head say."""

    length: int | None
    compresses: bool
    credentials: str | None


def _head_of(
    method: bytes,
    url: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    known: Callable[[str | None], Principal],
) -> Head | None:
    """Return what a parsed head says, `None` when it is not plain."""
    said = _said(headers)
    if said is None:
        return None
    principal = known(said.credentials)
    if principal.kind is Kind.UNKNOWN:
        return None  # its token may have been made a moment ago: FastAPI looks into the store
    if method == b"GET":
        plain = said.length is None and plain_target(b"GET " + url + LINE_END) is not None
        return Head(Route.ENTITY, 0, said.compresses, principal) if plain else None
    route = _POSTS.get(url) if method == b"POST" else None
    if route is None or said.length is None:
        return None
    return Head(route, said.length, said.compresses, principal)


def _said(headers: Iterable[tuple[bytes, bytes]]) -> _Said | None:
    """Return what headers say, `None` when one of them is not plain."""
    length: int | None = None
    credentials: str | None = None
    compresses = False
    for name, value in headers:
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX:
                return None
            length = int(value)
        elif name == b"accept-encoding":
            compresses = compresses or any(coding in value.lower() for coding in _COMPRESSED)
        elif name == b"authorization":
            if credentials is not None:
                return None
            credentials = value.decode("latin-1")
        elif name not in _IGNORED and not (name == b"connection" and value.lower() == b"keep-alive"):
            return None
    return _Said(length, compresses, credentials)
