"""Two shards and two doors against one: what another core is worth."""

from __future__ import annotations

from typing import Final

from flux_bench.cases.case import Case, Stage
from flux_bench.lab import Lab
from flux_bench.opening import on_own
from flux_bench.outcome import Measured, Row
from flux_bench.own_flux import OwnFlux
from flux_bench.targets import Target
from flux_bench.workload import Workload

_CONNECTIONS: Final = 64
_BATCH: Final = 100
_NAMESPACE: Final = "bench-spread"  # over all partitions, for else it has one shard to itself


def scaling(lab: Lab) -> Measured:
    """Measure the same load on a Flux with one of each and on a Flux with two of each."""
    one = _events_per_s(lab, 1)
    two = _events_per_s(lab, 2)
    return Measured({"times": two / one}, note=f"{one:,.0f} and {two:,.0f} events/s")


def _events_per_s(lab: Lab, of_each: int) -> float:
    number = str(of_each)
    flux = OwnFlux("--shards", number, "--doors", number, "--partitions", "4", spread=_NAMESPACE)
    with on_own(flux, lab.generator, lab.scale, lab.say) as here:
        workload = Workload(_NAMESPACE, _CONNECTIONS, lab.scale.entities, _BATCH)
        told = here.publish(workload, lab.scale.pace)
    return told.done * _BATCH / told.seconds


CASES: Final = (
    Case(
        "scaling",
        (Row("times", "two shards and two doors against one", "×", Target(1.8, least=True, unit="×")),),
        scaling,
        Stage.ALONE,
        own=True,
        times_max=1,
        cores_min=4,
    ),
)
