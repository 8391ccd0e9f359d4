"""Publishes on a socket that are traced: each message is a request of its own, with its own `traceparent`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind

from flux_actors.errors import FluxError
from flux_actors.tenancy.principal import Principal
from flux_actors.tracing.traces import Traces, fail
from flux_api.publishing import Outcome
from flux_api.socket_requests import SocketRequest
from flux_api.socket_session import Session
from flux_api.tracing.current import request_span

_NAME: Final = "publish"


class TracedSession(Session):
    """A session with a span for each publish that is sampled, which ends with its answer."""

    def __init__(self, traces: Traces, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._traces = traces

    def _publish(self, request: SocketRequest, size: int) -> None:
        parent = request.traceparent if isinstance(request.traceparent, str) else ""
        span = self._traces.begin(_NAME, SpanKind.SERVER, parent)
        before = request_span.set(span)
        try:
            super()._publish(request, size)
        finally:
            request_span.reset(before)

    def _answering(
        self, request: SocketRequest, size: int, principal: Principal
    ) -> Callable[[Outcome], None]:
        answer, span = super()._answering(request, size, principal), request_span.get()
        return answer if span is None else _ending(span, answer)

    def _not_taken(self, request: SocketRequest, size: int, error: FluxError) -> None:
        span = request_span.get()
        if span is not None:
            fail(span, type(error).__name__)
            span.end()
        super()._not_taken(request, size, error)


def _ending(span: Span, answer: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    def end(outcome: Outcome) -> None:
        if isinstance(outcome, FluxError):
            fail(span, type(outcome).__name__)
        span.end()
        answer(outcome)

    return end
