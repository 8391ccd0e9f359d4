"""Watching: fan-out to many sockets, and how soon what was published is seen."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case
from flux_bench.generator.jobs import FanOut, ReadBack, Seen, Told
from flux_bench.lab import Lab, compare, wait
from flux_bench.latencies import Latencies
from flux_bench.outcome import Measured, Row
from flux_bench.targets import at_least, at_most
from flux_bench.workload import PROPERTIES, Workload

_AHEAD: Final = 120_000  # messages on their way to all sockets: ten batches of each of four publishers
DRAIN_S: Final = 20.0  # for the last messages to arrive
_PAUSE_S: Final = 0.002


class _Update(msgspec.Struct):
    type: str
    entity_id: str = ""
    property: str = ""
    value: Any = None


_decode = msgspec.json.Decoder(_Update).decode


def fan_out(
    lab: Lab, sockets: int = 20, publishers: int = 4, events: int = 50, namespace: str | None = None
) -> Measured:
    """Publish while sockets watch everything."""
    workload = Workload(namespace or lab.namespace(), publishers, lab.scale.entities, events)
    probe = f"{lab.namespace()}/probe"
    at_most_ahead = ahead(sockets, workload)
    job = FanOut(lab.place, workload, "*", sockets, at_most_ahead, probe, lab.scale.pace, DRAIN_S)
    told = Told([], 0, 0)
    with lab.counting(lambda: sum(told.published) * events + told.probes):
        told = lab.run(job)
    messages = sum(told.published) * events * PROPERTIES
    if set(told.counts) != {messages}:
        raise Corrupt(
            f"each of {sockets} sockets must get {messages:,} messages; they got {min(told.counts):,} "
            f"to {max(told.counts):,}"
        )
    lab.verify(workload, told.published)
    compare(workload.expected(told.published), _folded(told, workload.namespace), "what a socket was sent")
    lab.made.append(probe)
    rate = {"rate": told.done / told.seconds}
    return Measured(rate, cpu_us=lab.cpu_us(told.done), sent_bytes=lab.sent_bytes(told.done))


def ahead(sockets: int, workload: Workload) -> int:
    """Return how many messages may be on their way to one socket: at least a batch of each publisher."""
    least = workload.connections * workload.events * PROPERTIES
    return max(least, min(_AHEAD // 20, _AHEAD // sockets))


def _folded(told: Told, namespace: str) -> dict[str, int]:
    """Return the `sequence` of each entity, by the messages of one socket in their order."""
    found: dict[str, int] = {}
    for line in told.bodies[0].splitlines():
        update = _decode(line)
        if update.property == "sequence" and update.entity_id.startswith(f"{namespace}/"):
            if found.get(update.entity_id, 0) >= update.value:
                raise Corrupt(f"a socket was sent updates of {update.entity_id} out of order, or twice")
            found[update.entity_id] = update.value
    return found


def publish_seen(lab: Lab) -> Measured:
    """Publish on an idle system, until a subscriber has it."""
    entity = f"{lab.namespace()}/probe"
    wait(lab.scale.idle_s)
    told = lab.run(Seen(lab.place, entity, lab.scale.samples, _PAUSE_S))
    lab.made.append(entity)
    latencies = _of(told)
    return Measured({"p50": latencies.p50_ms, "p99": latencies.p99_ms}, latencies, lab.cpu_us(told.done))


def ack_get(lab: Lab) -> Measured:
    """Publish, then read at once."""
    plain = lab.run(ReadBack(lab.place, f"{lab.namespace()}/probe", lab.scale.samples, applied=False))
    entity = f"{lab.namespace()}/probe"
    applied = lab.run(ReadBack(lab.place, entity, lab.scale.samples, applied=True))
    lab.made.append(entity)
    if applied.stale:
        raise Corrupt(f"{applied.stale} reads after `wait=applied` did not show the event")
    latencies = _of(plain)
    note = f"{plain.stale} reads came too early; none after wait=applied"
    return Measured({"p50": latencies.p50_ms}, latencies, note=note)


def _of(told: Told) -> Latencies:
    if told.latencies is None:
        raise Corrupt("nothing was measured")
    return told.latencies


CASES: Final = (
    Case(
        "fan-out",
        (
            Row(
                "rate",
                "fan-out: 20 sockets on *, 4 publishers of batches of 50",
                "messages/s",
                at_least(1_500_000, "messages/s"),
            ),
        ),
        fan_out,
    ),
    Case(
        "publish-seen",
        (
            Row("p50", "publish → seen by a subscriber, idle: p50", "ms", at_most(3, "ms")),
            Row("p99", "… p99", "ms", at_most(8, "ms")),
        ),
        publish_seen,
    ),
    Case(
        "ack-get",
        (Row("p50", "ack → seen by GET: p50", "ms", at_most(2, "ms")),),
        ack_get,
    ),
)
