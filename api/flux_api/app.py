"""The one FastAPI app: routes, errors in one shape, CORS, compression."""

from __future__ import annotations

from typing import Final, cast

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type

from flux_actors import __version__
from flux_actors.errors import FluxError, Unavailable
from flux_actors.settings import Settings
from flux_api.door import Door
from flux_api.plain_paths import NOTHING_HERE, PlainPaths
from flux_api.request_ids import NamedRequests
from flux_api.request_tally import CountedRequests
from flux_api.requests import POSITION_HEADER
from flux_api.responses import EVENT_STREAM, FAULT, LINES, error_response, json_response
from flux_api.routes import (
    admin,
    claims,
    connectors,
    entities,
    events,
    health,
    history,
    live,
    metrics,
    namespaces,
    stream,
    tokens,
)
from flux_api.security_headers import PagePolicy, SecurityHeaders
from flux_api.traced import follow_requests

_log = structlog.get_logger(__name__)
_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "HEAD"]
_EXPOSED: Final = [
    POSITION_HEADER,
    history.HISTORY_FROM,
    "ETag",
    "Link",
    "Flux-Count",
    "Retry-After",
    "X-Request-Id",
]
_COMPRESS_BYTES_MIN: Final = 500
add_compress_type(LINES)  # the library knows the usual types
remove_compress_type(EVENT_STREAM)  # a compressor of its own takes a stream 4 MB, for as long as it goes on
_ROUTERS: Final = (
    events.router,
    history.router,
    entities.router,
    health.router,
    metrics.router,
    admin.router,
    namespaces.router,
    tokens.router,
    claims.router,
    connectors.router,
    live.router,
    stream.router,
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
    app.add_middleware(PlainPaths)
    app.add_middleware(PagePolicy)
    app.add_middleware(CompressMiddleware, minimum_size=_COMPRESS_BYTES_MIN, brotli=False)
    origins = [origin.strip() for origin in settings.cors_origins.split(",")]
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    app.add_middleware(SecurityHeaders, settings=settings)
    app.add_middleware(NamedRequests)
    app.add_middleware(CountedRequests, tally=door.requests)
    if door.traces is not None:
        follow_requests(app, door.traces)
    return app


async def _on_flux_error(_: Request, error: Exception) -> Response:
    return error_response(cast("FluxError", error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    if error.status_code == 404:
        return json_response({"error": NOTHING_HERE}, 404)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed(request)))
        return json_response({"error": f"this path takes {allowed}"}, 405, {"Allow": allowed})
    return json_response({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("request.fault", path=_path_of(request), error=repr(error), exc_info=error)
    return error_response(Unavailable(FAULT))


def _path_of(request: Request) -> str:
    """Return the path as it was sent: decoded it may hold anything, line ends too."""
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return path.decode("ascii", errors="backslashreplace")


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes of the request's path."""
    methods: set[str] = set()
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
                methods |= route.methods or set()
    return methods or {"GET", "HEAD"}  # the paths of FastAPI itself: /docs and /openapi.json
