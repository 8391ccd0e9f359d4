"""Headers that tell browsers what they must not do with an answer.

Every answer bears the same few (`headers_of`): the listener has uvicorn put them beside the date, so that
they cost the hot way nothing. What comes through Serve's proxy gets them from the app (`SecurityHeaders`).
The pages for people bear a policy of their own (`PagePolicy`): they run the scripts that came with them and
nobody else's.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_actors.settings import Settings, is_loopback_host

AT_DOOR: Final = "flux.door"  # in the scope of a request whose answer gets the headers from the listener
_HSTS: Final = "max-age=31536000"
_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_PAGES: Final = "/docs"
_PAGE: Final = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; script-src 'self'"
)


def headers_of(settings: Settings) -> list[tuple[str, str]]:
    """Return the headers of every answer of a door with these settings."""
    headers = [("x-content-type-options", "nosniff")]
    if settings.auth_enabled:  # state may be private, and an answer may hold a token
        headers.append(("cache-control", "no-store"))
    if settings.tls and not is_loopback_host(settings.host):  # browsers keep it for a host, whatever the port
        headers.append(("strict-transport-security", _HSTS))
    return headers


class SecurityHeaders:
    """Middleware of the app: the headers of answers that no door sends."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers_of(settings)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""
        if scope["type"] != "http" or AT_DOOR in scope:
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await self._app(scope, receive, send_guarded)


class PagePolicy:
    """Middleware of the app: a policy for pages; it stands where these are not compressed yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back, with a policy if it is a page."""
        if scope["type"] != "http" or not scope["path"].startswith(_PAGES):
            await self._app(scope, receive, send)
            return
        page: Message | None = None  # the beginning of one, until its body is there

        async def send_guarded(message: Message) -> None:
            nonlocal page
            if message["type"] == "http.response.start" and _is_page(message):
                page = message
                return
            if page is not None:
                page["headers"] = [*page["headers"], *_page_headers(message.get("body", b""))]
                await send(page)
                page = None
            await send(message)

        await self._app(scope, receive, send_guarded)


def _is_page(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"]
    )


def _page_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a page: the scripts that stand in it are allowed by their hash."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(body)]
    policy = " ".join([_PAGE, *(f"'sha256-{digest}'" for digest in hashes)])
    return [(b"content-security-policy", policy.encode()), (b"referrer-policy", b"no-referrer")]
