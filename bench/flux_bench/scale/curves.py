"""What a run of `--scale` found as curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from flux_bench.plots import Figure, Points
from flux_bench.scale.model import Cluster, costs_of, predict
from flux_bench.scale.outcome import LoadPoint, RecoveryPoint, Scale
from flux_bench.scale.tables import NODES, by_load


def figures_of(scale: Scale) -> list[Figure]:
    """Return the curves of all series that have points."""
    found = [
        _times(scale.loads, "shards", lambda point: point.shards, lambda point: point.doors == 1),
        _times(scale.loads, "doors", lambda point: point.doors, lambda point: point.shards == 1),
        _nodes(scale),
        _recovery("recovery-entities", "entities", scale.entities, lambda point: point.entities, "log"),
        _recovery(
            "recovery-tail", "events behind the snapshot", scale.tails, lambda point: point.tail, "linear"
        ),
        _moving(scale),
    ]
    return [figure for figure in found if any(points for _, points in figure.lines)]


def _times(
    loads: Sequence[LoadPoint],
    what: str,
    size: Callable[[LoadPoint], int],
    wanted: Callable[[LoadPoint], bool],
) -> Figure:
    """Return how many times the rate of one shard and one door each point has."""
    lines = []
    for load, points in by_load(loads).items():
        one = next((point.rate for point in points if (point.shards, point.doors) == (1, 1)), None)
        if one is not None:
            lines.append((load.value, [(size(point), point.rate / one) for point in points if wanted(point)]))
    return Figure(
        f"scale-{what}", f"More {what}, on the cores of this machine", what, "times that of one", lines
    )


def _nodes(scale: Scale) -> Figure:
    lines: list[tuple[str, Points]] = []
    if scale.syncs is not None:
        for load, points in by_load(scale.loads).items():
            costs = costs_of(points)
            rates = [(nodes, predict(costs, Cluster(nodes), scale.syncs).rate) for nodes in NODES]
            lines.append((load.value, [(nodes, rate / rates[0][1]) for nodes, rate in rates]))
    return Figure("scale-nodes", "Predicted", "nodes", "times that of one", lines)


def _recovery(
    key: str, x_name: str, points: Sequence[RecoveryPoint], x: Callable[[RecoveryPoint], int], x_scale: str
) -> Figure:
    lines = [
        ("flux up → first 200", [(x(point), point.up_s) for point in points]),
        ("the shard's own part", [(x(point), point.own_s) for point in points]),
    ]
    return Figure(key, "Recovery", x_name, "seconds", lines, x_scale)


def _moving(scale: Scale) -> Figure:
    lines = [
        ("a whole move", [(p.entities, median(move.seconds for move in p.moves)) for p in scale.moves]),
        ("longest list", [(p.entities, p.read_ms_max / 1_000) for p in scale.moves]),
        ("longest write", [(p.entities, p.write_ms_max / 1_000) for p in scale.moves]),
    ]
    return Figure("moving", "A partition moves under load", "entities", "seconds", lines)
