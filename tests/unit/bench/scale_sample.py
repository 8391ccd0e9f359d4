"""A run of `--scale` as it might have been: all points follow from costs that are known."""

from __future__ import annotations

import msgspec

from flux_bench.scale.model import Costs, Line, here
from flux_bench.scale.outcome import Load, LoadPoint, Moved, MovePoint, RecoveryPoint, Scale, Syncs
from flux_bench.scale.pinning import GENERATOR, deal

SYNCS = Syncs(1_000.0, 4, 3_000.0)
SIZES = ((1, 1), (2, 1), (1, 2), (2, 2), (1, 4))


LOG = Line(7.0, 0.5)


def costs_like(load: Load, door: Line, shard: float = 6.0, log: Line = LOG) -> Costs:
    """Return costs of a load."""
    cpu = {"door": door, "shard": Line(shard, 0.0), "log": log, GENERATOR: Line(10.0, 0.0)}
    watched = 60 if load is Load.WATCHERS else 0
    return Costs(load, cpu, Line(900.0, 100.0), Line(300.0, 100.0), 0.0, watched, load is not Load.READS)


def points_of(costs: Costs, cores: int = 2) -> list[LoadPoint]:
    """Return points as they would be measured if the costs were just so."""
    return [_point(costs, shards, doors, cores) for shards, doors in SIZES]


def _point(costs: Costs, shards: int, doors: int, cores: int) -> LoadPoint:
    per_event = costs.messages_each_door * doors or 1
    point = LoadPoint(
        costs.load,
        shards,
        doors,
        1.0,
        {part: line.at(doors) / per_event for part, line in costs.cpu_us.items()},
        costs.network_bytes.at(doors) / per_event,
        costs.log_bytes.at(doors) / per_event,
        20.0,
        deal({"door": doors, "shard": shards, "log": 1, GENERATOR: 1}, cores),
        per_event,
    )
    return msgspec.structs.replace(point, rate=here(costs, point))


def scale_sample() -> Scale:
    """Return a run of all series."""
    loads = [
        point
        for load, door in zip(Load, (Line(20, 2), Line(3, 0.3), Line(7, 0), Line(5, 10)), strict=True)
        for point in points_of(costs_like(load, door))
    ]
    recoveries = [
        RecoveryPoint(10_000, 0, 0.05, 7.5, 1.0, 160.0),
        RecoveryPoint(1_000_000, 0, 4.0, 12.0, 9.0, 787.0),
    ]
    moves = [MovePoint(10_000, [Moved(0.2, 30.0), Moved(0.4, 50.0)], 4_000.0, 120.0, 240.0, 20.0, 10.0)]
    return Scale(loads, SYNCS, recoveries, recoveries, moves)
