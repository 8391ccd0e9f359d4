"""How cost grows: a figure while one thing becomes larger and larger.

Each point is measured and verified like a case. Series whose subject is fixed when a log is made
(partitions) have servers of their own; the others share one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flux_actors.errors import Corrupt, FluxError, Refused
from flux_bench.cases.live import fan_out
from flux_bench.cases.publishing import events_per_s
from flux_bench.generating import Generator
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Pace, Publish, Read, Told
from flux_bench.lab import Lab, Say, compare
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
    compare(expected, lab.server.sequences(workload.namespace), "the state")
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
    probe = Workload(namespace, 1, 1, letter="h")
    lab.publish(probe, Pace(requests=_PROBE_EVENTS))
    batch = min(1_000, max(1, events // _FILL))
    filling = Workload(namespace, _FILL, 10_000, batch)
    told = Told([], 0, 0)
    with lab.counting(lambda: sum(told.counts) * batch):
        told = lab.run(Publish(lab.place, filling, Pace(requests=max(1, events // (batch * _FILL)))))
    compare(
        probe.expected([_PROBE_EVENTS]) | filling.expected(told.counts),
        lab.server.sequences(namespace),
        "the state",
    )
    (entity,) = probe.ids(0, 0)
    request = get(lab.place.name, f"/api/events?entity={entity}&limit={_NEWEST}")
    oldest = b"%d" % (FIRST + _PROBE_EVENTS - _NEWEST)
    read = lab.run(Read(lab.place, [[request]], [[oldest]], Pace(requests=_READS)))
    if read.latencies is None or read.bodies[0].count(b'"sequence"') != _NEWEST:
        raise Corrupt(f"the history is not the newest {_NEWEST} events")
    return read.latencies.p50_ms


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
    Growing(
        "entities", "Entities", "entities", "events/s",
        (10_000, 30_000, 100_000, 300_000, 1_000_000), (40, 100), by_entities,
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


def grow_all(series: Sequence[Growing], plan: Plan, say: Say) -> list[Series]:
    """Measure series; all that can share a server do."""
    if not series:
        return []
    together = [growing for growing in series if not growing.own_servers]
    apart = [growing for growing in series if growing.own_servers]
    with Generator() as generator:
        found = _together(together, generator, plan, say) if together else []
        found += [_apart(growing, generator, plan, say) for growing in apart]
    return found


def measure(growing: Growing, sizes: Sequence[int], lab: Lab) -> Series:
    """Measure a series as far as it goes; the reason why it ended early is told with it."""
    points: list[tuple[float, float]] = []
    try:
        for size in sizes:
            lab.say(f"growth, {growing.title.lower()}: {size:,}")
            points.append((size, growing.point(lab, size)))
    except FluxError as error:
        return _series(growing, points, error.message)
    return _series(growing, points)


def _together(series: Sequence[Growing], generator: Generator, plan: Plan, say: Say) -> list[Series]:
    """Measure series on one server."""
    if plan.url is not None:
        opened = on_url(plan.url, plan.admin_token, generator, plan.scale, say)
    else:
        opened = on_own(OwnFlux(), generator, plan.scale, say)
    with opened as lab:
        return [measure(growing, _sizes(growing, plan), lab) for growing in series]


def _apart(growing: Growing, generator: Generator, plan: Plan, say: Say) -> Series:
    """Measure a series with a server for each size."""
    if plan.url is not None:
        return _series(growing, [], "needs a Flux that the benchmark starts itself")
    points: list[tuple[float, float]] = []
    for size in _sizes(growing, plan):
        flux = OwnFlux("--partitions", str(size), spread=_SPREAD)
        with on_own(flux, generator, plan.scale, say) as lab:
            found = measure(growing, (size,), lab)
        points += found.points
        if found.reason:
            return _series(growing, points, found.reason)
    return _series(growing, points)


def _sizes(growing: Growing, plan: Plan) -> tuple[int, ...]:
    return growing.quick if plan.one_server else growing.sizes


def _series(growing: Growing, points: list[tuple[float, float]], reason: str = "") -> Series:
    return Series(growing.key, growing.title, growing.x_name, growing.y_name, points, reason)
