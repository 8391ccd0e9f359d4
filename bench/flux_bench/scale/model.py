"""What other machines would carry: a cost model, from what each event costs each kind of process.

A door's part of the cost is two: the door that takes an event pays once, and every door hears of it. The same
of nats-server, which hands what shards tell to each door. So each cost is a line over the number of doors,
fitted to the points that were measured: `once + each_door * doors`.

What a cluster carries is then the least of what its resources do. A door and a shard are one event loop each,
so one core at most. A partition has one shard and one order: it commits what its stream syncs, block behind
block. nats-server uses all cores of its node; with several servers, most of what goes in and out of one
passes another, and every copy of the log is written again. That factor is an assumption, and so are the
nodes' network and that load is even; all else is measured. Where all doors hear everything, one more may cost
more than it brings: then the model leaves it out, and says how many doors it took.

Everything here counts events (or reads); of watchers, an event with all the messages that it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

from flux_bench.scale.outcome import Load, LoadPoint, Syncs
from flux_bench.scale.pinning import GENERATOR, REST

_S: Final = 1e6  # microseconds
_ROUTER: Final = "router"
_HEARD: Final[dict[Load, frozenset[str]]] = {  # parts that have more to do with each door that there is
    Load.SINGLES: frozenset({"door", "log"}),
    Load.BATCHES: frozenset({"door", "log"}),
    Load.READS: frozenset(),
    Load.WATCHERS: frozenset({"door", "log", GENERATOR}),  # which has the sockets of all doors
}
_EVENTS_OWN: Final = ("door", "shard", "log")  # parts whose costs are those of events
SYNC_EVENTS: Final = 3_000  # in a block that is full: what waits for a sync goes with the next one


class Resource(StrEnum):
    """What can be at its end."""

    DOORS = "doors' cores"
    SHARDS = "shards' cores"
    LOG = "nats-server's cores"
    NODES = "all cores of a node"
    ORDER = "order of a partition"
    SYNCS = "syncs of nats-server"
    NETWORK = "network of a node"
    LOG_NETWORK = "network of nats-server"


class Line(NamedTuple):
    """A cost over the number of doors."""

    once: float
    each_door: float

    def at(self, doors: float) -> float:
        """Return the cost where there are so many doors."""
        return self.once + self.each_door * doors


class Costs(NamedTuple):
    """What one event (or read) of a load costs; `idle_cores` is what a node has for nothing else."""

    load: Load
    cpu_us: dict[str, Line]
    network_bytes: Line
    log_bytes: Line
    idle_cores: float
    messages_each_door: int  # that one event makes for the sockets of each door, 0 without sockets
    commits: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines: nodes with doors and shards, and beside them those of nats-server, which are as large."""

    nodes: int
    cores: int = 4
    doors_per_node: int = 1
    shards_per_node: int = 1
    partitions: int = 64
    log_servers: int = 3
    copies: int = 3
    network_bytes_s: float = 1.25e9  # in each direction: 10 Gbit/s

    @property
    def doors_max(self) -> int:
        """How many doors it has."""
        return self.nodes * self.doors_per_node

    @property
    def log_factor(self) -> float:
        """How often a server does for an event what it does alone: the copies, and what passes another."""
        return (self.copies + 1 - 1 / self.log_servers) / self.log_servers


class Prediction(NamedTuple):
    """What a cluster carries, with how many doors, and how far each resource is used then (1: all of it)."""

    events_per_s: float
    rate: float  # in what the load counts
    doors: int
    uses: dict[Resource, float]

    @property
    def first(self) -> Resource:
        """The resource that is at its end."""
        return max(self.uses, key=lambda resource: self.uses[resource])


def fitted(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line nearest to points (doors, cost) by least squares, with no part below nothing."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    square = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0
    if slope <= 0:
        return Line(mean_y, 0.0)
    once = mean_y - slope * mean_x
    if once >= 0:
        return Line(once, slope)
    return Line(0.0, sum(x * y for x, y in points) / sum(x * x for x, _ in points))


def costs_of(points: Sequence[LoadPoint]) -> Costs:
    """Return the costs of a load from all that was measured of it.

    Only what each door hears of can cost more with more doors: a read is one door's, and a shard tells once.
    """
    load = points[0].load
    grow = _HEARD[load]

    def line(cost: Callable[[LoadPoint], float], *, grows: bool) -> Line:
        costs = [(point.doors if grows else 1, cost(point) * point.per_event) for point in points]
        return fitted(costs)

    def cpu(part: str) -> Line:
        return line(lambda point: point.cpu_us.get(part, 0), grows=part in grow)

    parts = sorted({part for point in points for part in point.cpu_us})
    idle = [(point.cpu_us.get(REST, 0) + point.cpu_us.get(_ROUTER, 0)) * point.rate / _S for point in points]
    return Costs(
        load,
        {part: cpu(part) for part in parts},
        line(lambda point: point.network_bytes, grows=bool(grow)),
        line(lambda point: point.log_bytes, grows=bool(grow)),
        sum(idle) / len(idle),
        points[0].per_event // points[0].doors if load is Load.WATCHERS else 0,
        load is not Load.READS,
    )


def predict(costs: Costs, cluster: Cluster, syncs: Syncs) -> Prediction:
    """Return what a cluster carries of a load, with as many of its doors as pay."""
    return max(
        (_with_doors(costs, cluster, syncs, doors) for doors in range(1, cluster.doors_max + 1)),
        key=lambda prediction: prediction.rate,
    )


def _with_doors(costs: Costs, cluster: Cluster, syncs: Syncs, doors: int) -> Prediction:
    most = capacities(costs, cluster, syncs, doors)
    events_per_s = min(most.values())
    uses = {resource: events_per_s / capacity for resource, capacity in most.items()}
    messages = costs.messages_each_door * doors or 1
    return Prediction(events_per_s, events_per_s * messages, doors, uses)


def capacities(costs: Costs, cluster: Cluster, syncs: Syncs, doors: int) -> dict[Resource, float]:
    """Return how many events per second each resource would do if it were the only one."""
    door, shard, log = (costs.cpu_us.get(part, Line(0, 0)).at(doors) for part in _EVENTS_OWN)
    shards = min(cluster.nodes * cluster.shards_per_node, cluster.partitions)
    factor = cluster.log_factor
    full = SYNC_EVENTS if costs.commits else inf  # what reads is never synced
    return {
        Resource.DOORS: _per_s(doors * _S, door),
        Resource.SHARDS: _per_s(shards * _S, shard),
        Resource.LOG: _per_s(cluster.cores * _S, log * factor),
        Resource.NODES: _per_s(cluster.nodes * (cluster.cores - costs.idle_cores) * _S, door + shard),
        Resource.ORDER: cluster.partitions * syncs.one_stream * full,
        Resource.SYNCS: cluster.log_servers * syncs.together / cluster.copies * full,
        Resource.NETWORK: _per_s(cluster.nodes * cluster.network_bytes_s, costs.network_bytes.at(doors)),
        Resource.LOG_NETWORK: _per_s(cluster.network_bytes_s, costs.log_bytes.at(doors) * factor),
    }


def here(costs: Costs, point: LoadPoint) -> float:
    """Return the rate that a point should have, by the cores that its processes were pinned to.

    Each process is at its end at one core, and a core with all that share it.
    """
    doors = point.doors
    rest = costs.idle_cores  # of the core that has it, whatever the load
    rates = [
        _per_s(doors * _S, _cpu(costs, "door", doors)),
        _per_s(point.shards * _S, _cpu(costs, "shard", doors)),
    ]
    for core in point.cores:
        use = sum(_cpu(costs, part, doors) / _processes(part, point) for part in core if part != REST)
        rates.append(_per_s((1 - rest * core.count(REST)) * _S, use))
    return min(rates) * point.per_event


def _cpu(costs: Costs, part: str, doors: int) -> float:
    return costs.cpu_us.get(part, Line(0, 0)).at(doors)


def _processes(part: str, point: LoadPoint) -> int:
    """Return how many processes of a part share its work."""
    return {"door": point.doors, "shard": point.shards}.get(part, 1)


def _per_s(budget: float, cost: float) -> float:
    return budget / cost if cost > 0 else inf
