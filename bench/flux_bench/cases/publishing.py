"""Publishing: single events on many connections, batches, and one WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flux_bench.cases.case import Case
from flux_bench.generator.jobs import PublishOnSocket, Told
from flux_bench.lab import Lab
from flux_bench.outcome import Measured, Row
from flux_bench.targets import Baseline, Target, at_least, times
from flux_bench.workload import Workload


def events_per_s(
    lab: Lab, connections: int, events: int, entities: int | None = None, namespace: str | None = None
) -> Measured:
    """Publish over HTTP with `events` per request."""
    workload = Workload(namespace or lab.namespace(), connections, entities or lab.scale.entities, events)
    return _measured(lab, lab.publish(workload, lab.scale.pace), events)


def on_socket(lab: Lab) -> Measured:
    """Publish over one WebSocket."""
    workload = Workload(lab.namespace(), 1, lab.scale.entities)
    told = Told([], 0, 0)
    with lab.counting(lambda: sum(told.counts)):
        told = lab.run(PublishOnSocket(lab.place, workload, lab.scale.window, lab.scale.pace))
    lab.verify(workload, told.counts)
    return _measured(lab, told, 1)


def _measured(lab: Lab, told: Told, events: int) -> Measured:
    return Measured(
        {"rate": told.done * events / told.seconds},
        told.latencies,
        lab.cpu_us(sum(told.counts) * events),
        sent_bytes=lab.sent_bytes(sum(told.counts) * events),
    )


def _http(connections: int, events: int) -> Callable[[Lab], Measured]:
    return lambda lab: events_per_s(lab, connections, events)


def _row(title: str, target: Target) -> tuple[Row, ...]:
    return (Row("rate", title, "events/s", target),)


CASES: Final = (
    Case(
        "post-128",
        _row("POST one event, 128 connections", times(1, Baseline.B1)),
        _http(128, 1),
    ),
    Case("post-1", _row("POST one event, 1 connection", times(0.8, Baseline.B3)), _http(1, 1)),
    Case("post-32", _row("POST one event, 32 connections", times(0.55, Baseline.B1)), _http(32, 1)),
    Case("batch-500", _row("batch of 500, 8 connections", times(0.45, Baseline.B2)), _http(8, 500)),
    Case(
        "ws-publish",
        _row("publish over one WebSocket, pipelined", at_least(40_000, "events/s")),
        on_socket,
    ),
)
