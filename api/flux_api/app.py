"""The one FastAPI app: routes, errors in one shape, CORS, compression; and request ids."""

from __future__ import annotations

import re
from typing import Final, cast

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_compress import CompressMiddleware

from flux_actors import __version__, limits
from flux_actors.errors import FluxError, Unavailable
from flux_actors.settings import Settings
from flux_api.door import Door
from flux_api.requests import POSITION_HEADER
from flux_api.responses import FAULT, error_response, json_response
from flux_api.routes import admin, connectors, entities, events, health, history, live, namespaces

_log = structlog.get_logger(__name__)
_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "HEAD"]
_EXPOSED: Final = [POSITION_HEADER, "ETag", "Link", "Flux-Count", "Retry-After", "X-Request-Id"]
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % limits.request_id_chars_max)
_COMPRESS_BYTES_MIN: Final = 500
_ROUTERS: Final = (
    events.router,
    history.router,
    entities.router,
    health.router,
    admin.router,
    namespaces.router,
    connectors.router,
    live.router,
)


def build_app(settings: Settings, door: Door) -> FastAPI:
    """Return the app that serves `door`."""
    app = FastAPIOffline(title="Flux", version=__version__, redirect_slashes=False, redoc_url=None)
    app.state.door = door
    for router in _ROUTERS:
        app.include_router(router)
    app.add_exception_handler(FluxError, _on_flux_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_fault)
    app.add_middleware(CompressMiddleware, minimum_size=_COMPRESS_BYTES_MIN, brotli=False)
    origins = [origin.strip() for origin in settings.cors_origins.split(",")]
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    return app


class RequestIds:
    """Echoes `X-Request-Id`, so that a client finds its request in its own logs and ours.

    It stands before the app at the door; Serve's proxy does the same by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header to the answer when the request had one."""
        found = [value for name, value in scope.get("headers", []) if name == b"x-request-id"]
        if scope["type"] != "http" or not found or not _REQUEST_ID.fullmatch(found[0]):
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", found[0])]
            await send(message)

        await self._app(scope, receive, send_with_id)


async def _on_flux_error(_: Request, error: Exception) -> Response:
    return error_response(cast("FluxError", error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    if error.status_code == 404:
        return json_response({"error": "there is nothing at this path; see /docs for what there is"}, 404)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed(request)))
        return json_response({"error": f"this path takes {allowed}"}, 405, {"Allow": allowed})
    return json_response({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("request.fault", path=request.url.path, error=repr(error), exc_info=error)
    return error_response(Unavailable(FAULT))


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes of the request's path."""
    methods: set[str] = set()
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
                methods |= route.methods or set()
    return methods or {"GET", "HEAD"}  # the paths of FastAPI itself: /docs and /openapi.json
