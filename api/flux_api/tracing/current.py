"""The span of the request that this task answers; hot requests have it for the time of one call."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry.trace import Span

request_span: ContextVar[Span | None] = ContextVar("request_span", default=None)
