"""Where Flux is and how to knock: the URL, the token, the words when nobody answers."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from flux_actors.client import DEFAULT_URL
from flux_actors.errors import Refused, Unavailable


def checked_url(url: str) -> str:
    """Return the URL without a slash at its end, or raise `Refused` (its text never repeats the URL)."""
    parts = _split(url)
    extras = parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in {"http", "https"} or not parts.hostname or extras:
        raise Refused(f"the URL of Flux must look like {DEFAULT_URL}, without user, password or query")
    return parts.geturl().rstrip("/")


def bearer(token: str | None) -> str | None:
    """Return the `Authorization` header for a token; `None` for none or an empty one."""
    if not token:
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise Refused("a token must be printable ASCII without spaces or line ends; check FLUX_TOKEN")
    return f"Bearer {token}"


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine itself."""
    host = _split(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def unreachable(url: str, error: BaseException | None = None) -> Unavailable:
    """Return the error for a server that does not answer the door, or that nobody vouches for."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unavailable(
                f"the certificate of {url} is not trusted ({error.verify_message}); "
                "set FLUX_CA to the file of the authority that issued it"
            )
        error = error.__cause__ or error.__context__
    return Unavailable(f"cannot reach Flux at {url}; start it with `flux up` or set FLUX_URL")


def more_of(body: bytes | bytearray) -> dict[str, Any]:
    """Return what an error body tells beside its sentence."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    return (
        {name: value for name, value in answer.items() if name != "error"} if isinstance(answer, dict) else {}
    )


def error_text(body: bytes | bytearray) -> str | None:
    """Return the server's own sentence in an error body, if it holds one."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return None
    match answer:
        case {"error": str(text)} if text:
            return text
        case {"status": str(status)}:
            return f"Flux is not ready (its status is {status}); try again in a moment"
        case _:
            return None


def _split(url: str) -> SplitResult:
    """Split a URL; one that cannot be split has no parts."""
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")  # both raise for what no socket can take
    except ValueError:
        return urlsplit("")
    return parts if url.isprintable() and " " not in url else urlsplit("")
