"""Heads of which two readers could make two things: refused, so that nothing is hidden between them.

A proxy in front of the door and the door itself must agree where each request ends and whom it is for. What
httptools already refuses (two lengths, a length beside chunks, folded lines, bare line ends) is not looked
at again here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flux_actors.errors import Refused

Headers = Iterable[tuple[bytes, bytes]]
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def refusal_of(version: str, headers: Headers) -> Refused | None:
    """Return why a head with these headers is not taken, `None` when it is."""
    if version not in _VERSIONS:
        return Refused("speak HTTP/1.1 or HTTP/1.0 here")
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            if version == "1.0":
                return Refused("a request of HTTP/1.0 has no Transfer-Encoding")
            if value.strip().lower() != b"chunked":
                return Refused('the only Transfer-Encoding taken is "chunked"')
    return Refused("a request has one Host") if hosts > 1 else None


def framing_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers that say how long a body is; none of them means that there is no body."""
    return [(name, value) for name, value in headers if name in _FRAMING]
