"""What must not grow with the state: listing it, and the history of one entity in a long log."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case, Stage
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Fetch, Pace, Read
from flux_bench.lab import Lab, compare
from flux_bench.metering import Growth
from flux_bench.outcome import Measured, Row
from flux_bench.server import EntityBody, sequences_in
from flux_bench.targets import at_most

_NEWEST: Final = 100
_READS: Final = 50

_decode_list = msgspec.json.Decoder(list[EntityBody]).decode


def list_all(lab: Lab) -> Measured:
    """List every entity in one answer."""
    large = lab.large
    door = lab.own.door if lab.own is not None else None
    with Growth(door) as growth:
        told = lab.run(Fetch(lab.place, f"/api/state/entities?namespace={large.namespace}"))
    entities = _decode_list(told.bodies[0])
    ids = [entity.id for entity in entities]
    if ids != sorted(ids):
        raise Corrupt("the list is not sorted by id")
    compare(large.expected, sequences_in(entities), "the list")
    values = {"total": told.seconds, "first": told.first_byte_s * 1000}
    memory = {}
    if door is not None:
        values["memory"] = growth.mb
        memory = {"door, growth": growth.mb}
    note = f"{len(told.bodies[0]) / 1e6:.0f} MB of JSON"
    return Measured(values, None, lab.cpu_us(len(entities)), memory, note)


def history(lab: Lab) -> Measured:
    """Read the newest hundred events of one entity."""
    large = lab.large
    path = f"/api/events?entity={large.probe}&limit={_NEWEST}"
    request = get(lab.place.name, path)
    told = lab.run(Read(lab.place, [[request]], [[b"["]], Pace(requests=_READS)))
    found = [_sequence(event) for event in json.loads(told.bodies[0])]
    expected = large.newest_of_probe[:_NEWEST]
    if found != expected:
        raise Corrupt(
            f"the history must be the newest {len(expected)} events, newest first; it has {len(found)}, "
            f"of which {len(set(found) & set(expected))} are among them"
        )
    if told.latencies is None:
        raise Corrupt("nothing was measured")
    return Measured(
        {"p50": told.latencies.p50_ms},
        told.latencies,
        lab.cpu_us(_READS),
        note=f"{large.events:,} events in the log",
    )


def _sequence(event: dict[str, Any]) -> int:
    sequence: int = event["payload"]["properties"]["sequence"]
    return sequence


CASES: Final = (
    Case(
        "list",
        (
            Row("total", "list all entities of the large state: total", "s", at_most(0.6, "s")),
            Row("first", "… first byte", "ms", at_most(50, "ms")),
            Row("memory", "… growth of the door's memory", "MB", at_most(32, "MB")),
        ),
        list_all,
        Stage.LARGE,
    ),
    Case(
        "history",
        (Row("p50", "history: newest 100 events of one entity: p50", "ms", at_most(15, "ms")),),
        history,
        Stage.LARGE,
    ),
)
