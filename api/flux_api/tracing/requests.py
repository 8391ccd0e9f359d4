"""Requests that are traced: a span from a request to its answer, on both ways.

On the ordinary way it continues the client's `traceparent`. A head with that header is never known to the hot
way, for it differs each time: such requests go the ordinary way.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.trace import Span, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_actors.errors import FluxError
from flux_actors.tracing.traces import Traces, fail
from flux_api.hot.heads import Head
from flux_api.hot.routes import Answered, HotRoutes
from flux_api.hot.tally import HOT_ROUTES
from flux_api.request_tally import route_of
from flux_api.tracing.current import request_span

_PARENT: Final = b"traceparent"
_STATUS: Final = "http.response.status_code"
_OK: Final = 200
_FAULTS_FROM: Final = 500


class TracedRequests:
    """Middleware of the app: a span for each request of the ordinary way that is sampled."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its span."""
        span = self._begin(scope) if scope["type"] == "http" else None
        request_span.set(span)  # in the request's own task
        if span is None:
            await self._app(scope, receive, send)
            return

        async def send_and_see(message: Message) -> None:
            if message["type"] == "http.response.start":
                _answered(span, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        except Exception as error:
            fail(span, type(error).__name__)
            raise
        finally:
            span.update_name(f"{scope['method']} {route_of(scope)}")
            span.set_attribute("http.route", route_of(scope))
            span.end()

    def _begin(self, scope: Scope) -> Span | None:
        parents = [value for name, value in scope["headers"] if name == _PARENT]
        parent = parents[0].decode("latin-1") if len(parents) == 1 else ""
        method: str = scope["method"]
        return self._traces.begin(method, SpanKind.SERVER, parent, {"http.request.method": method})


class TracedHotRoutes(HotRoutes):
    """The hot way with a span for each publish that is sampled."""

    def __init__(self, traces: Traces, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._traces = traces

    def post(self, head: Head, body: bytes | bytearray, answered: Answered) -> bool:
        """Do what a body asks, within a span."""
        method, route = HOT_ROUTES[head.route]
        facts = {"http.request.method": method, "http.route": route}
        span = self._traces.begin(f"{method} {route}", SpanKind.SERVER, "", facts)
        before = request_span.set(span)
        try:
            return super().post(head, body, answered if span is None else _ending(span, answered))
        finally:
            request_span.reset(before)


def _ending(span: Span, answered: Answered) -> Answered:
    """Return what ends a span before it answers."""

    def end(answer: bytes | list[bytes] | FluxError) -> None:
        if isinstance(answer, FluxError):
            fail(span, type(answer).__name__)
        else:
            span.set_attribute(_STATUS, _OK)
        span.end()
        answered(answer)

    return end


def _answered(span: Span, status: int) -> None:
    span.set_attribute(_STATUS, status)
    if status >= _FAULTS_FROM:
        fail(span, str(status))
