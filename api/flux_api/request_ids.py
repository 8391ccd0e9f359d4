"""Request ids: a client finds its request in its own logs and in ours.

Every line that is logged on the way of a request bears an id: the client's `X-Request-Id`, or one made for
it. The client's is echoed; one that it did not send is not.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_actors import limits
from flux_actors.logs import RequestName, request_name
from flux_api.security_headers import AT_DOOR

_HEADER: Final = b"x-request-id"
_FORM: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % limits.request_id_chars_max)


def name_request(scope: Scope) -> bytes | None:
    """Have the log lines of this request bear its id; return the id that the client gave it."""
    found = [value for name, value in scope.get("headers", []) if name == _HEADER]
    given = found[0] if found and _FORM.fullmatch(found[0]) else None
    request_name.set(RequestName(given.decode() if given is not None else None))  # in the request's own task
    return given


class RequestIds:
    """What stands before the app at the door; Serve's proxy echoes ids by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, and echo its id when it had one."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope[AT_DOOR] = True
        given = name_request(scope)
        if scope["type"] != "http" or given is None:
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (_HEADER, given)]
            await send(message)

        await self._app(scope, receive, send_with_id)


class NamedRequests:
    """Middleware of the app: names the requests that came in elsewhere than at the door."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on under its name."""
        if scope["type"] != "lifespan" and AT_DOOR not in scope:
            name_request(scope)
        await self._app(scope, receive, send)
