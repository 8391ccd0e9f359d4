"""Reading entities: one, one of many, and a hundred in one call."""

from __future__ import annotations

from typing import Final

import msgspec

from flux_bench.cases.case import Case
from flux_bench.generator.http import get, post
from flux_bench.generator.jobs import Pace, Read, Told
from flux_bench.lab import Lab, compare
from flux_bench.outcome import Measured, Row
from flux_bench.server import EntityBody, sequences_in
from flux_bench.targets import Baseline, at_least, times
from flux_bench.workload import Workload

_CONNECTIONS: Final = 32
_MANY: Final = 100
_MANY_CONNECTIONS: Final = 8
_ENTITIES: Final = "/api/state/entities"


class _Many(msgspec.Struct):
    entities: list[EntityBody]


def get_own(lab: Lab, connections: int = _CONNECTIONS, namespace: str | None = None) -> Measured:
    """Read as dashboards do: each connection the same entity again and again."""
    workload = lab.prepare(lab.scale.entities, namespace)
    ids = list(workload.all_ids())
    told = _read(lab, workload, [[ids[number % len(ids)]] for number in range(connections)], lab.scale.pace)
    return _measured(lab, told)


def get_any(lab: Lab) -> Measured:
    """Read one entity after the other: once all of them, which no door has read before, then on and on."""
    workload = lab.prepare(lab.scale.entities)
    ids = list(workload.all_ids())
    chosen = [ids[number::_CONNECTIONS] or ids for number in range(_CONNECTIONS)]
    cold = _read(lab, workload, chosen, Pace(requests=max(map(len, chosen))))
    measured = _measured(lab, _read(lab, workload, chosen, lab.scale.pace))
    return msgspec.structs.replace(measured, values=measured.values | {"cold": cold.done / cold.seconds})


def get_many(lab: Lab) -> Measured:
    """Read a hundred entities in one call."""
    workload = lab.prepare(lab.scale.entities)
    ids = list(workload.all_ids())
    asked = [
        [ids[(number * _MANY + n) % len(ids)] for n in range(_MANY)] for number in range(_MANY_CONNECTIONS)
    ]
    bodies = [msgspec.json.encode({"ids": some}) for some in asked]
    turns = [post(lab.place.name, f"{_ENTITIES}/get", [body]) for body in bodies]
    marks = [[b'"lastUpdated"']] * _MANY_CONNECTIONS
    told = lab.run(Read(lab.place, turns, marks, lab.scale.pace, times=_MANY))
    expected = workload.expected([workload.variants] * workload.connections)
    for some, body in zip(asked, told.bodies, strict=True):
        entities = msgspec.json.decode(body, type=_Many).entities
        compare({one: expected[one] for one in some}, sequences_in(entities), "an answer")
    measured = _measured(lab, told)
    return msgspec.structs.replace(measured, values={"rate": measured.values["rate"] * _MANY})


def _read(lab: Lab, workload: Workload, chosen: list[list[str]], pace: Pace) -> Told:
    """Have connection n read the entities `chosen[n]` in turn; every answer must be of the right one."""
    turns = [[get(lab.place.name, f"{_ENTITIES}/{one}") for one in ids] for ids in chosen]
    marks = [[f'{one}"'.encode() for one in ids] for ids in chosen]
    told = lab.run(Read(lab.place, turns, marks, pace))
    expected = workload.expected([workload.variants] * workload.connections)
    found = sequences_in([msgspec.json.decode(body, type=EntityBody) for body in told.bodies])
    compare({one: expected[one] for one in found}, found, "an answer")
    return told


def _measured(lab: Lab, told: Told) -> Measured:
    rate, reads = {"rate": told.done / told.seconds}, sum(told.counts)
    return Measured(rate, told.latencies, lab.cpu_us(reads), sent_bytes=lab.sent_bytes(reads))


CASES: Final = (
    Case(
        "get-one",
        (Row("rate", "GET one entity, 32 connections", "reads/s", times(2.3, Baseline.B1)),),
        get_own,
    ),
    Case(
        "get-any",
        (
            Row("rate", "GET one of 10,000 entities, another each time", "reads/s"),
            Row("cold", "… each for the first time", "reads/s"),
        ),
        get_any,
    ),
    Case(
        "get-100",
        (Row("rate", "GET 100 entities in one call", "entities/s", at_least(500_000, "entities/s")),),
        get_many,
    ),
)
