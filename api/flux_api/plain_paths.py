"""Paths: one spelling of a route's slashes, so that who guards a path in front of Flux guards all of it.

The app decodes a path before it looks for the route: `/api/admin%2Fconfig` would be `/api/admin/config`. Only
in an id a slash may be quoted.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from flux_api.responses import json_response

NOTHING_HERE: Final = "there is nothing at this path; see /docs for what there is"
_ENTITIES: Final = b"/api/state/entities/"


class PlainPaths:
    """Middleware of the app: what hides a slash outside an id is no path of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its path is plain."""
        path: bytes = scope.get("raw_path") or b""
        if b"%2" in path and _hides_a_slash(path) and scope["type"] == "http":
            await json_response({"error": NOTHING_HERE}, 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _hides_a_slash(path: bytes) -> bool:
    return not path.startswith(_ENTITIES) and b"%2f" in path.lower()
