"""The spans of one process, and the way to the collector.

A span begins only where its trace is sampled (`OTEL_TRACES_SAMPLER`): of others nothing is kept and nothing
travels. They are sent from a thread of the library, in batches; when the collector is away they are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flux_actors.tracing.plan import SECRETS, TracePlan

_HEADER: Final = "traceparent"
_SERVICE: Final = "flux"
_Attributes = Mapping[str, str | int]
_contexts: Final = TraceContextTextMapPropagator()
_NO_CONTEXT: Final = Context()


class Traces:
    """Begins spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("flux_actors")

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: str = "",
        attributes: _Attributes | None = None,
        start_ns: int | None = None,
    ) -> Span | None:
        """Return a span, `None` when its trace is not sampled; `parent` is a `traceparent`, or none."""
        context = _contexts.extract({_HEADER: parent}) if parent else _NO_CONTEXT
        span = self._tracer.start_span(name, context, kind, attributes, start_time=start_ns)
        return span if span.is_recording() else None

    def close(self) -> None:
        """Send what has not been sent, for a bounded time."""
        self._provider.shutdown()


def parent_of(span: Span) -> str:
    """Return the `traceparent` by which a span becomes the parent of others."""
    carrier: dict[str, str] = {}
    _contexts.inject(carrier, set_span_in_context(span))
    return carrier[_HEADER]


def fail(span: Span, reason: str) -> None:
    """Mark a span whose work failed."""
    span.set_status(Status(StatusCode.ERROR, reason))


def open_traces(plan: TracePlan, role: str, process: str) -> Traces:
    """Return the traces of this process, which go to the collector that `plan` names.

    The library reads its settings from the environment, so they are put there; keys are taken out again, for
    processes of users' code inherit it.
    """
    os.environ.update(plan.variables)
    own = {"service.instance.id": process, "flux.role": role}
    if "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        own["service.name"] = os.environ.get("OTEL_SERVICE_NAME", _SERVICE)
    provider = TracerProvider(resource=Resource.create(own))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    for name in SECRETS:
        os.environ.pop(name, None)
    return Traces(provider)
