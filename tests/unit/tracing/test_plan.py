"""Whether events are traced, as the standard variables say."""

from __future__ import annotations

import pickle

import pytest

from flux_actors.errors import Refused
from flux_actors.tracing.plan import trace_plan

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"PATH": "/bin", "OTEL_SERVICE_NAME": "x"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    ],
)
def test_off_unless_they_ask_for_it(environment):
    assert trace_plan(environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        ENDPOINT,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_SDK_DISABLED": "false"},
    ],
)
def test_on_with_a_collector_or_an_exporter(environment):
    plan = trace_plan(environment | {"PATH": "/bin"})
    assert plan is not None
    assert dict(plan.variables) == environment


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
    ],
)
def test_another_way_than_ours_is_refused(environment):
    with pytest.raises(Refused, match="OTEL_"):
        trace_plan(environment)


def test_it_travels_and_shows_no_secret():
    plan = trace_plan(ENDPOINT | {"OTEL_EXPORTER_OTLP_HEADERS": "key=secret"})
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own bytes
    assert "secret" not in repr(plan)
