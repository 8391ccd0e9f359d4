"""Fairness: what one tenant feels of another that takes all it can get."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case, Stage
from flux_bench.generating import Generator
from flux_bench.generator.http import get, post
from flux_bench.generator.jobs import Pace, Publish, Read, Told
from flux_bench.lab import Lab
from flux_bench.latencies import Latencies
from flux_bench.outcome import Measured, Row
from flux_bench.own_flux import OwnFlux
from flux_bench.server import Server, wait_until
from flux_bench.targets import Target
from flux_bench.workload import Workload, with_number

_WINDOW_S: Final = 4.0  # at least: a p99 of few requests is chance, and a refused batch takes seconds
_CONNECTIONS: Final = 4  # of the tenant that is measured
_PAUSE_S: Final = 0.004  # it is no load: what it feels is measured, and not how much it gets
_ROUNDS: Final = 3  # alone and beside the other by turns: what the machine does meanwhile meets all alike
_ENTITIES: Final = 200
_GREEDY: Final = 8  # connections of one who publishes as fast as it is refused
_BATCH_EVENTS: Final = 64_000  # of those that the benchmark publishes: 10 MB
_BATCHES: Final = 2  # connections of one who sends those without end
_SETTLE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Tenant:
    """A namespace and the head line that opens it."""

    name: str
    headers: str


def fairness(lab: Lab) -> Measured:
    """Measure a tenant alone, beside one at its limit, and beside one that sends batches of 10 MB."""
    scale = lab.scale
    with _tenants() as (server, quiet_ones, greedy), Generator() as other:
        flood = Workload(greedy.name, _GREEDY, _ENTITIES)
        events = _BATCH_EVENTS if scale.seconds >= 1 else _BATCH_EVENTS // 50
        batches = Workload(greedy.name, _BATCHES, _BATCHES * events, events)
        found: list[dict[str, tuple[Latencies, Latencies]]] = []
        for number, quiet in enumerate(quiet_ones[: _ROUNDS if scale.seconds >= 1 else 1]):
            found.append({})
            for name, beside in {"alone": None, "flood": flood, "batches": batches}.items():
                lab.say(f"a tenant, {name}, round {number + 1}")
                work = Workload(quiet.name, _CONNECTIONS, _ENTITIES, letter=f"{name}-")
                found[-1][name] = _felt(lab, other, server, work, (quiet, greedy), beside)
    return _measured(found)


@contextmanager
def _tenants() -> Iterator[tuple[Server, list[_Tenant], _Tenant]]:
    """Start a Flux, and yield how it is asked, a quiet tenant for each round, and the other."""
    admin_token = secrets.token_hex(16)
    with OwnFlux(admin_token=admin_token) as flux, closing(Server(flux.url, admin_token)) as server:
        names = [*(f"quiet-{number + 1}" for number in range(_ROUNDS)), "greedy"]
        *quiet, greedy = (_Tenant(name, server.register(name)) for name in names)
        yield server, quiet, greedy


def _felt(
    lab: Lab,
    other: Generator,
    server: Server,
    work: Workload,
    tenants: tuple[_Tenant, _Tenant],
    beside: Workload | None,
) -> tuple[Latencies, Latencies]:
    """Return how long publishes and reads of one tenant take, beside what the other does."""
    quiet, greedy = tenants
    seconds = lab.scale.seconds
    pace = Pace(seconds if seconds < 1 else max(seconds, _WINDOW_S), lab.scale.warm_up_s, pause_s=_PAUSE_S)
    if beside is not None:
        other.begin(_load(server, beside, greedy, 2 * (pace.seconds + lab.scale.warm_up_s) + 1.0))
    published = lab.generator.run(Publish(server.place, work, pace, quiet.headers))
    ids = list(work.all_ids())[:_CONNECTIONS]
    requests = [[get(server.place.name, f"/api/state/entities/{one}", quiet.headers)] for one in ids]
    read = lab.generator.run(Read(server.place, requests, [[f'{one}"'.encode()] for one in ids], pace))
    if beside is not None:
        _check(other.end())
    _check(published)
    expected = work.expected(published.counts)

    def landed() -> bool:
        found = server.sequences(work.namespace)
        return {one: found.get(one) for one in expected} == expected

    wait_until(landed, _SETTLE_S, "all acknowledged events of the tenant to be applied")
    return _check(published), _check(read)


def _load(server: Server, work: Workload, tenant: _Tenant, seconds: float) -> Publish | Read:
    """Return what the other does: events that may be refused, or the same batch again and again."""
    if work.events == 1:
        return Publish(server.place, work, Pace(seconds), tenant.headers, refusable=True)
    body = [with_number(work.bodies(0)[0], 0)]
    batch = b"".join(post(server.place.name, "/api/events/batch", body, tenant.headers))
    mark = [b'{"successful":']
    return Read(server.place, [[batch]] * work.connections, [mark] * work.connections, Pace(seconds))


def _check(told: Told) -> Latencies:
    if told.refusal or told.latencies is None:
        raise Corrupt(told.refusal or "nothing was measured")
    return told.latencies


def _measured(found: list[dict[str, tuple[Latencies, Latencies]]]) -> Measured:
    """Return how many times as long it takes beside the other: medians of all rounds, compared."""
    values = {}
    notes = []
    for at, what in enumerate(("publish", "read")):
        p50, p99 = (
            {name: median(getattr(one[name][at], field) for one in found) for name in found[0]}
            for field in ("p50_ms", "p99_ms")
        )
        for name in ("flood", "batches"):
            values[f"{what}-{name}"] = p99[name] / p99["alone"]
        told = (f"{name} {p50[name]:.2f}/{p99[name]:.2f}" for name in p99)
        notes.append(f"{what} p50/p99 ms: " + ", ".join(told))
    return Measured(values, found[-1]["batches"][0], note="; ".join(notes))


def _row(key: str, title: str) -> Row:
    return Row(key, title, "×", Target(2, least=False, unit="×"), less_is_better=True)


CASES: Final = (
    Case(
        "fairness",
        (
            _row("publish-flood", "p99 of a tenant's publishes beside one at its limit, to alone"),
            _row("read-flood", "… of its reads"),
            _row("publish-batches", "… of its publishes beside one that sends batches of 10 MB"),
            _row("read-batches", "… of its reads"),
        ),
        fairness,
        Stage.ALONE,
        own=True,
    ),
)
