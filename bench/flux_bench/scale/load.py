"""Load on more and more shards and doors.

Four kinds of it: events one by one, events in batches, reads, and messages to watchers. Clients grow with
doors: each door has as many connections and sockets as the first. The namespaces are spread over all
partitions, so every shard has its part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import psutil

from flux_bench.cases.live import fan_out
from flux_bench.cases.publishing import events_per_s
from flux_bench.cases.reading import get_own
from flux_bench.generating import Generator
from flux_bench.generator.jobs import Pace
from flux_bench.lab import Lab, Say
from flux_bench.lab import Scale as Amount
from flux_bench.opening import on_own
from flux_bench.outcome import Measured
from flux_bench.own_flux import OwnFlux
from flux_bench.scale.outcome import Load, LoadPoint
from flux_bench.scale.pinning import pin
from flux_bench.workload import PROPERTIES, Workload

PARTITIONS: Final = 4
SIZES: Final = ((1, 1), (2, 1), (4, 1), (1, 2), (1, 4), (2, 2), (4, 4))  # shards and doors
QUICK: Final = ((1, 1), (1, 2))
SOCKETS: Final = 20  # of each door, on `*`
_WARM_UP_REQUESTS: Final = 10  # of each connection


class Kind(NamedTuple):
    """How a load is measured: in one namespace, on so many connections to each door, with such requests."""

    load: Load
    measure: Callable[
        [Lab, str, int, int, int], Measured
    ]  # namespace, connections, events of a request, doors
    connections: int
    events: int


def _published(lab: Lab, namespace: str, connections: int, events: int, _doors: int) -> Measured:
    return events_per_s(lab, connections, events, namespace=namespace)


def _read(lab: Lab, namespace: str, connections: int, _events: int, _doors: int) -> Measured:
    return get_own(lab, connections, namespace)


def _watched(lab: Lab, namespace: str, connections: int, events: int, doors: int) -> Measured:
    return fan_out(lab, SOCKETS * doors, connections, events, namespace)


KINDS: Final = {
    Load.SINGLES: Kind(Load.SINGLES, _published, connections=128, events=1),
    Load.BATCHES: Kind(Load.BATCHES, _published, connections=8, events=500),
    Load.READS: Kind(Load.READS, _read, connections=32, events=1),
    Load.WATCHERS: Kind(Load.WATCHERS, _watched, connections=4, events=50),
}


def measure(
    loads: Sequence[Load], sizes: Sequence[tuple[int, int]], generator: Generator, amount: Amount, say: Say
) -> Iterator[LoadPoint]:
    """Measure loads on one Flux after the other, each with the shards and doors of one size."""
    spread = ",".join(map(_namespace, Load))
    for shards, doors in sizes:
        numbers = ("--shards", str(shards), "--doors", str(doors), "--partitions", str(PARTITIONS))
        with on_own(OwnFlux(*numbers, spread=spread), generator, amount, say) as lab:
            cores = pin(lab.mine.run.run_id, psutil.Process(generator.pid))
            for load in loads:
                say(f"scale, {load}: shards {shards}, doors {doors}")
                point = point_of(lab, KINDS[load], shards, doors)
                yield msgspec.structs.replace(point, cores=cores)


def point_of(lab: Lab, kind: Kind, shards: int, doors: int) -> LoadPoint:
    """Measure one load; what a door does for the first time, which costs more, is done before."""
    load, connections = kind.load, kind.connections * doors
    entities = min(lab.scale.entities, connections * kind.events)
    warm_up = Workload(lab.namespace(), connections, entities, kind.events)
    lab.publish(warm_up, Pace(requests=_WARM_UP_REQUESTS))
    blocks, events = lab.server.blocks(), lab.server.events_total()
    measured = kind.measure(lab, _namespace(load), connections, kind.events, doors)
    blocks, events = lab.server.blocks() - blocks, lab.server.events_total() - events
    return LoadPoint(
        load,
        shards,
        doors,
        measured.values["rate"],
        measured.cpu_us,
        measured.sent_bytes["network"],
        measured.sent_bytes["log"],
        events / max(blocks, 1),
        [],
        PROPERTIES * SOCKETS * doors if load is Load.WATCHERS else 1,
        measured.latencies.p99_ms if measured.latencies is not None else None,
    )


def _namespace(load: Load) -> str:
    return f"bench-{load}"
