"""How cost grows: a figure while one thing becomes larger and larger.

Each point is measured and verified like a case. Series whose subject is fixed when a log is made
(partitions) have servers of their own; the others share one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from flux_actors.errors import Corrupt, FluxError, Refused, Unavailable
from flux_bench.cases.live import fan_out
from flux_bench.cases.publishing import events_per_s
from flux_bench.generating import Generator
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Pace, Publish, Read, Told
from flux_bench.lab import Lab, Say
from flux_bench.opening import on_own, on_url
from flux_bench.outcome import Series
from flux_bench.own_flux import OwnFlux
from flux_bench.runner import Plan
from flux_bench.workload import FIRST, Workload

Point = Callable[[Lab, int], float]
_FILL: Final = 4  # connections that fill a state or a log
_READS: Final = 30
_PROBE_EVENTS: Final = 120
_NEWEST: Final = 100
_SPREAD: Final = "bench-spread"


@dataclass(frozen=True, slots=True)
class Growing:
    """A series before it is measured: the sizes of a real run and of a quick one."""

    key: str
    title: str
    x_name: str
    y_name: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    point: Point
    own_servers: bool = False


def by_batch(lab: Lab, events: int) -> float:
    """Return events/s in batches of that many, on 8 connections."""
    return events_per_s(lab, 8, events).values["rate"]


def by_connections(lab: Lab, connections: int) -> float:
    """Return single events/s on that many connections."""
    return events_per_s(lab, connections, 1).values["rate"]


def by_entities(lab: Lab, entities: int) -> float:
    """Return events/s of batches over that many entities, all of which exist before it is measured."""
    batch = min(500, max(1, entities // _FILL))
    workload = Workload(lab.namespace(), _FILL, entities, batch)
    first = lab.publish(workload, Pace(requests=workload.variants))
    again = Workload(workload.namespace, _FILL, entities, batch, first=max(first.counts))
    told = Told([], 0, 0)
    with lab.counting(lambda: sum(told.counts) * batch):
        told = lab.run(Publish(lab.place, again, lab.scale.pace))
    expected = workload.expected(first.counts) | again.expected(told.counts)
    if lab.server.sequences(workload.namespace) != expected:
        raise Corrupt("the state is not what was acknowledged")
    return told.done * batch / told.seconds


def by_partitions(lab: Lab, _partitions: int) -> float:
    """Return single events/s on 128 connections; the namespace is spread over all partitions."""
    workload = Workload(_SPREAD, 128, lab.scale.entities)
    told = lab.publish(workload, lab.scale.pace)
    return told.done / told.seconds


def by_subscribers(lab: Lab, sockets: int) -> float:
    """Return messages/s delivered to that many sockets on `*`."""
    return fan_out(lab, sockets=sockets).values["rate"]


def by_log_length(lab: Lab, events: int) -> float:
    """Return the milliseconds of a history read behind that many more events of one log."""
    namespace = lab.namespace()
    probe = Workload(namespace, 1, 1)
    lab.run(Publish(lab.place, probe, Pace(requests=_PROBE_EVENTS)))
    batch = min(1_000, max(1, events // _FILL))
    filling = Workload(namespace.replace("bench", "fill"), _FILL, 10_000, batch)
    lab.publish(filling, Pace(requests=max(1, events // (batch * _FILL))))
    (entity,) = probe.ids(0, 0)
    request = get(lab.place.name, f"/api/events?entity={entity}&limit={_NEWEST}")
    oldest = b"%d" % (FIRST + _PROBE_EVENTS - _NEWEST)
    told = lab.run(Read(lab.place, [[request]], [[oldest]], Pace(requests=_READS)))
    if told.latencies is None or told.bodies[0].count(b'"sequence"') != _NEWEST:
        raise Corrupt(f"the history is not the newest {_NEWEST} events")
    return told.latencies.p50_ms


ALL: Final = (
    Growing(
        "batch", "Batches", "events in a batch", "events/s",
        (1, 5, 20, 100, 500, 1_000, 2_000, 5_000), (1, 20), by_batch,
    ),
    Growing(
        "connections", "Connections", "connections, one event each", "events/s",
        (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), (1, 4), by_connections,
    ),
    Growing(
        "entities", "Entities", "entities", "events/s",
        (10_000, 30_000, 100_000, 300_000, 1_000_000), (40, 100), by_entities,
    ),
    Growing(
        "partitions", "Partitions", "partitions", "events/s, 128 connections",
        (1, 2, 4, 8), (1, 2), by_partitions, own_servers=True,
    ),
    Growing(
        "subscribers", "Subscribers", "sockets on *", "messages/s",
        (1, 3, 10, 30, 100, 300, 1_000), (1, 3), by_subscribers,
    ),
    Growing(
        "log-length", "Length of the log", "events behind the newest 100", "ms of a history read",
        (10_000, 30_000, 100_000, 300_000, 1_000_000), (40, 100), by_log_length,
    ),
)  # fmt: skip


def chosen(names: str) -> list[Growing]:
    """Return the series whose keys are listed, with commas between; every one for `all`.

    Raises:
        Refused: there is no such series.
    """
    known = {growing.key: growing for growing in ALL}
    wanted = list(known) if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise Refused(f"there is no growth series {name!r}; there are {', '.join(known)}, and all")
    return [known[name] for name in wanted]


def grow(growing: Growing, generator: Generator, plan: Plan, say: Say, *, quick: bool) -> Series:
    """Measure a series as far as it goes; the reason why it ended early is told with it."""
    points: list[tuple[float, float]] = []
    reason = ""
    try:
        for opened, sizes in _places(growing, generator, plan, say, quick=quick):
            with opened as lab:
                for size in sizes:
                    say(f"growth, {growing.title.lower()}: {size:,}")
                    points.append((size, growing.point(lab, size)))
    except FluxError as error:
        reason = error.message
    return Series(growing.key, growing.title, growing.x_name, growing.y_name, points, reason)


def _places(
    growing: Growing, generator: Generator, plan: Plan, say: Say, *, quick: bool
) -> Iterator[tuple[AbstractContextManager[Lab], tuple[int, ...]]]:
    """Yield where to measure, and which sizes there."""
    sizes = growing.quick if quick else growing.sizes
    if growing.own_servers:
        if plan.url is not None:
            raise Unavailable("needs a Flux that the benchmark starts itself")
        for size in sizes:
            flux = OwnFlux("--partitions", str(size), spread=_SPREAD)
            yield on_own(flux, generator, plan.scale, say), (size,)
    elif plan.url is not None:
        yield on_url(plan.url, plan.admin_token, generator, plan.scale, say), sizes
    else:
        yield on_own(OwnFlux(), generator, plan.scale, say), sizes
