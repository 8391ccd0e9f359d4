"""Asking many entities a condition: how many it holds of, and which.

The entities lie in several namespaces, so that every partition has its share of the question.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case, Stage
from flux_bench.generator.jobs import Fetch, Pace, Told
from flux_bench.lab import Lab, compare
from flux_bench.outcome import Measured, Row
from flux_bench.server import EntityBody, sequences_in
from flux_bench.targets import at_most
from flux_bench.workload import FIRST, Workload

_NAMESPACES: Final = 8
_CONNECTIONS: Final = 4
_BATCH: Final = 1_000
_TIMES: Final = 5  # each question is asked

_decode_list = msgspec.json.Decoder(list[EntityBody]).decode


class _Count(msgspec.Struct):
    count: int


def filter_many(lab: Lab) -> Measured:
    """Ask a condition that holds of a part of the entities: their number, and themselves."""
    prefix = f"{lab.namespace()}-"
    entities = _fill(lab, prefix)
    expected = {one: number for one, number in entities.items() if number == FIRST}
    query = {"prefix": prefix, "where": f'sequence < {FIRST + 1} and status = "active"'}

    def check_count(body: bytes) -> None:
        found = msgspec.json.decode(body, type=_Count).count
        if found != len(expected):
            raise Corrupt(f"the condition holds of {len(expected)} entities, {found} were counted")

    count = _asked(lab, query | {"count": "true"}, check_count)
    found = _asked(lab, query, lambda body: compare(expected, _sequences(body), "the list"))
    cpu_us = lab.cpu_us(len(entities))
    nothing = _asked(lab, query | {"where": "sequence < 0"}, lambda body: compare({}, _sequences(body), "it"))
    note = f"{len(expected):,} of {len(entities):,} entities match"
    return Measured({"count": count, "list": found, "nothing": nothing}, None, cpu_us, note=note)


def _fill(lab: Lab, prefix: str) -> dict[str, int]:
    """Write the entities; return the `sequence` of each."""
    each = -(-lab.scale.large_entities // _NAMESPACES)
    batch = min(_BATCH, max(1, each // (2 * _CONNECTIONS)))  # of two requests at least, of which one matches
    lab.say(f"filling {lab.scale.large_entities:,} entities to be asked")
    written: dict[str, int] = {}
    for number in range(_NAMESPACES):
        workload = Workload(f"{prefix}{number}", _CONNECTIONS, each, batch)
        told = lab.publish(workload, Pace(requests=workload.variants))
        written |= workload.expected(told.counts)
    return written


def _asked(lab: Lab, query: dict[str, str], check: Callable[[bytes], None]) -> float:
    """Ask several times, check each answer, and return the seconds of the one in the middle."""
    seconds = []
    for _ in range(_TIMES):
        told: Told = lab.run(Fetch(lab.place, f"/api/state/entities?{urlencode(query)}"))
        check(told.bodies[0])
        seconds.append(told.seconds)
    return statistics.median(seconds)


def _sequences(body: bytes) -> dict[str, int]:
    return sequences_in(_decode_list(body))


CASES: Final = (
    Case(
        "filter",
        (
            Row(
                "count",
                "count the entities of a large state of which a condition holds",
                "s",
                at_most(0.5, "s"),
            ),
            Row("list", "… list them", "s", at_most(0.5, "s")),
            Row("nothing", "… a condition that holds of none", "s", at_most(0.5, "s")),
        ),
        filter_many,
        Stage.LARGE,
        times_max=1,
    ),
)
