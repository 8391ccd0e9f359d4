"""The spans of one process, and their way to a collector."""

from __future__ import annotations

import os

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from flux_actors.tracing.plan import TracePlan
from flux_actors.tracing.traces import fail, open_traces, parent_of
from tests.unit.tracing.collector import Kept, collecting

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """`open_traces` writes variables; the test takes them back."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_BSP_SCHEDULE_DELAY"):
        monkeypatch.setenv(name, "")


def test_a_span_goes_on_where_its_parent_was():
    kept = Kept()
    first = kept.traces.begin("one", SpanKind.SERVER, PARENT, {"flux.partition": 3})
    second = kept.traces.begin("two", SpanKind.CONSUMER, parent_of(first))
    for span in (second, first):
        span.end()
    two, one = kept.spans
    assert f"{one.context.trace_id:x}" == f"{two.context.trace_id:x}" == "ab" * 16
    assert f"{one.parent.span_id:x}" == "cd" * 8
    assert two.parent.span_id == one.context.span_id
    assert (one.kind, dict(one.attributes)) == (SpanKind.SERVER, {"flux.partition": 3})


def test_a_span_without_a_parent_begins_a_trace():
    kept = Kept()
    kept.traces.begin("one", SpanKind.SERVER).end()
    assert kept.spans[0].parent is None


@pytest.mark.parametrize("parent", ["", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_what_is_no_parent_is_none(parent):
    kept = Kept()
    kept.traces.begin("one", SpanKind.SERVER, parent).end()
    assert kept.spans[0].parent is None


def test_what_is_not_sampled_is_no_span():
    kept = Kept(ParentBased(ALWAYS_OFF))
    assert kept.traces.begin("one", SpanKind.SERVER) is None
    assert kept.traces.begin("one", SpanKind.SERVER, PARENT.removesuffix("1") + "0") is None
    assert kept.traces.begin("one", SpanKind.SERVER, PARENT) is not None


def test_a_failure_says_why():
    kept = Kept()
    span = kept.traces.begin("one", SpanKind.SERVER)
    fail(span, "the log is away")
    span.end()
    assert kept.spans[0].status.status_code is StatusCode.ERROR
    assert kept.spans[0].status.description == "the log is away"


def test_spans_come_to_the_collector_with_their_process_and_its_key():
    with collecting() as collector:
        variables = (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k"),
        )
        traces = open_traces(TracePlan(variables), "door", "door-1")
        assert "OTEL_EXPORTER_OTLP_HEADERS" not in os.environ
        traces.begin("one", SpanKind.SERVER).end()
        traces.close()
        ((facts, span),) = collector.spans()
    assert span.name == "one"
    assert facts["service.name"] == "flux"
    assert (facts["flux.role"], facts["service.instance.id"]) == ("door", "door-1")
    assert {name.lower(): value for name, value in collector.headers[0].items()}["x-key"] == "k"
