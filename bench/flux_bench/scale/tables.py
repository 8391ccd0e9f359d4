"""What a run of `--scale` found as tables, for the terminal and for the document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Final, NamedTuple

from flux_bench.scale.model import (
    SYNC_EVENTS,
    Cluster,
    Costs,
    Line,
    Prediction,
    Resource,
    costs_of,
    here,
    predict,
)
from flux_bench.scale.outcome import Load, LoadPoint, MovePoint, RecoveryPoint, Scale, Syncs
from flux_bench.scale.pinning import GENERATOR, REST

NODES: Final = (1, 2, 4, 8, 16)
_UNITS: Final = {
    Load.SINGLES: "events/s",
    Load.BATCHES: "events/s",
    Load.READS: "reads/s",
    Load.WATCHERS: "messages/s",
}
_SHOWN: Final = ("door", "shard", "log")
_NAMES: Final = {"log": "nats-server", REST: "Ray"}


class Table(NamedTuple):
    """A table; `key` is its place in the document."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(scale: Scale) -> list[Table]:
    """Return all tables for which there are figures."""
    found = [_loads(scale.loads), _cores(scale.loads)] if scale.loads else []
    found += [_costs(scale.loads)] if scale.loads else []
    if scale.loads and scale.syncs is not None:
        costs = _all_costs(scale.loads)
        found += [
            _syncs(scale.syncs),
            _nodes(costs, scale.syncs),
            _uses(costs, scale.syncs),
            _otherwise(costs, scale.syncs),
        ]
    if scale.entities:
        found.append(_recoveries("entities", "Recovery by entities of the snapshot", scale.entities))
    if scale.tails:
        found.append(_recoveries("tail", "Recovery by events behind the snapshot", scale.tails))
    if scale.moves:
        found.append(_moves(scale.moves))
    return found


def rate_text(rate: float) -> str:
    """Return a rate with three digits that count."""
    if rate >= 1e6:
        return f"{rate / 1e6:.3g} M"
    return f"{float(f'{rate:.3g}'):,.0f}"


def by_load(points: Sequence[LoadPoint]) -> dict[Load, list[LoadPoint]]:
    """Return the points of each load that was measured."""
    return {load: own for load in Load if (own := [point for point in points if point.load is load])}


def predicted_here(point: LoadPoint, others: Sequence[LoadPoint]) -> float | None:
    """Return what the model says of a point, from all others of its load; `None` if there are none."""
    known = [other for other in others if (other.shards, other.doors) != (point.shards, point.doors)]
    return here(costs_of(known), point) if known else None


def _all_costs(points: Sequence[LoadPoint]) -> list[Costs]:
    return [costs_of(own) for own in by_load(points).values()]


def _loads(points: Sequence[LoadPoint]) -> Table:
    columns = (
        "load", "shards", "doors", "measured", "door, µs", "shard, µs", "nats-server, µs",
        "events in a block", "p99, ms", "model", "error",
    )  # fmt: skip
    rows = [_load_row(point, own) for own in by_load(points).values() for point in own]
    title = "Load on more shards and doors, processor time for one of what is counted"
    return Table("load", title, columns, rows)


def _load_row(point: LoadPoint, own: Sequence[LoadPoint]) -> list[str]:
    model = predicted_here(point, own)
    return [
        point.load.value,
        str(point.shards),
        str(point.doors),
        f"{rate_text(point.rate)} {_UNITS[point.load]}",
        *(_us(point.cpu_us.get(part, 0)) for part in _SHOWN),
        f"{point.block_events:,.0f}" if point.load is not Load.READS else "",
        f"{point.p99_ms:.1f}" if point.p99_ms is not None else "",
        rate_text(model) if model is not None else "",
        f"{model / point.rate - 1:+.0%}" if model is not None else "",
    ]


def _cores(points: Sequence[LoadPoint]) -> Table:
    layouts = {(point.shards, point.doors): point.cores for point in points}
    most = max(map(len, layouts.values()), default=0)
    rows = [
        [
            str(shards),
            str(doors),
            *(" + ".join(_NAMES.get(part, part) for part in core) or "–" for core in cores),
        ]
        for (shards, doors), cores in layouts.items()
    ]
    return Table(
        "cores", "Which processes had a core", ["shards", "doors", *(f"core {n}" for n in range(most))], rows
    )


def _costs(points: Sequence[LoadPoint]) -> Table:
    rows = [
        [
            costs.load.value,
            *(_line(costs.cpu_us.get(part, Line(0, 0)), _us) for part in (*_SHOWN, GENERATOR)),
            _line(costs.network_bytes, _bytes),
            _line(costs.log_bytes, _bytes),
            f"{costs.idle_cores:.2f}",
        ]
        for costs in _all_costs(points)
    ]
    columns = (
        "for each", "door, µs", "shard, µs", "nats-server, µs", "generator, µs", "all networks, bytes",
        "from nats-server, bytes", "Ray, cores",
    )  # fmt: skip
    return Table("costs", "What one event costs, or one read: once + in each door", columns, rows)


def _syncs(syncs: Syncs) -> Table:
    row = [f"{syncs.one_stream:,.0f}", f"{syncs.together:,.0f}"]
    return Table(
        "syncs",
        f"Blocks of {SYNC_EVENTS:,} events made durable per second",
        ["one stream", f"{syncs.streams} streams"],
        [row],
    )


def _nodes(costs: Sequence[Costs], syncs: Syncs) -> Table:
    rows = []
    for nodes in NODES:
        row = [str(nodes)]
        for one in costs:
            found = predict(one, Cluster(nodes), syncs)
            row += [rate_text(found.rate), _first(found, nodes)]
        rows.append(row)
    columns = ["nodes"]
    for one in costs:
        columns += [f"{one.load}, {_UNITS[one.load]}", "at its end first"]
    return Table("nodes", "Predicted for nodes of 4 cores with a door and a shard each", columns, rows)


def _first(found: Prediction, doors_max: int) -> str:
    few = f", with {found.doors} doors" if found.doors < doors_max else ""
    return f"{found.first}{few}"


def _uses(costs: Sequence[Costs], syncs: Syncs) -> Table:
    found = [predict(one, Cluster(NODES[-1]), syncs) for one in costs]
    rows = [[resource.value, *(_share(one.uses[resource]) for one in found)] for resource in Resource]
    return Table(
        "uses",
        f"How far each resource is used then, of {NODES[-1]} nodes",
        ["resource", *(one.load.value for one in costs)],
        rows,
    )


def _otherwise(costs: Sequence[Costs], syncs: Syncs) -> Table:
    base = Cluster(NODES[-1])
    clusters = {
        "as above": base,
        "two doors on each node": replace(base, doors_per_node=2),
        "two shards on each node": replace(base, shards_per_node=2),
        "two doors and two shards on each node": replace(base, doors_per_node=2, shards_per_node=2),
        "nodes of 8 cores, nats-server's too": replace(base, cores=8),
        "six nats-servers": replace(base, log_servers=6),
        "one copy of the log": replace(base, copies=1),
        "all of it in one namespace, so one partition": replace(base, partitions=1),
    }
    rows = []
    for name, cluster in clusters.items():
        found = [predict(one, cluster, syncs) for one in costs]
        rows.append([name, *(f"{rate_text(one.rate)} ({_first(one, cluster.doors_max)})" for one in found)])
    columns = ["16 nodes", *(f"{one.load}, {_UNITS[one.load]}" for one in costs)]
    return Table("otherwise", "What helps, and what does not", columns, rows)


def _recoveries(key: str, title: str, points: Sequence[RecoveryPoint]) -> Table:
    rows = [
        [
            f"{point.entities:,}",
            f"{point.tail:,}",
            f"{point.own_s:.2f}",
            f"{point.up_s:.1f}",
            f"{point.snapshot_mb:,.1f}",
            f"{point.memory_mb:,.0f}",
        ]
        for point in points
    ]
    columns = (
        "entities", "events behind the snapshot", "shard, s", "`flux up` → first 200, s", "snapshot, MB",
        "shard's memory, MB",
    )  # fmt: skip
    return Table(key, title, columns, rows)


def _moves(points: Sequence[MovePoint]) -> Table:
    rows = []
    for point in points:
        seconds, between = [move.seconds for move in point.moves], [move.between_ms for move in point.moves]
        rows.append(
            [
                f"{point.entities:,}",
                str(len(point.moves)),
                f"{median(seconds):.2f} / {max(seconds):.2f}",
                f"{median(between):.0f} / {max(between):.0f}",
                f"{point.write_ms_max:.0f} ({point.calm_write_ms_max:.0f})",
                f"{point.read_ms_max:.0f} ({point.calm_read_ms_max:.0f})",
                rate_text(point.events_per_s),
            ]
        )
    columns = (
        "entities", "moves", "one move, s: median / longest", "between owners, ms: median / longest",
        "longest write, ms (calm)", "longest list, ms (calm)", "events/s meanwhile",
    )  # fmt: skip
    return Table("moving", "Partitions that moved between one shard and two, under load", columns, rows)


def _line(line: Line, text: Callable[[float], str]) -> str:
    return f"{text(line.once)} + {text(line.each_door)}" if line.each_door else text(line.once)


def _us(cost: float) -> str:
    return f"{cost:.3g}" if cost < 100 else f"{cost:,.0f}"


def _bytes(size: float) -> str:
    return f"{size:,.0f}"


def _share(use: float) -> str:
    return f"{use:.0%}" if use >= 0.005 or not use else "< 1 %"
