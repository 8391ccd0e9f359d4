"""Fairness: what one tenant feels of another that takes all it can get."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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

_CONNECTIONS: Final = 4  # of the tenant that is measured
_PAUSE_S: Final = 0.004  # it is no load: what it feels is measured, and not how much it gets
_WINDOWS: Final = 2  # times as long as other cases: a p99 of few requests is chance
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
    with _tenants() as (server, quiet, greedy), Generator() as other:
        flood = Workload(greedy.name, _GREEDY, _ENTITIES)
        events = _BATCH_EVENTS if scale.seconds >= 1 else _BATCH_EVENTS // 50
        batches = Workload(greedy.name, _BATCHES, _BATCHES * events, events)
        found: dict[str, tuple[Latencies, Latencies]] = {}
        for number, (name, beside) in enumerate(
            {"alone": None, "flood": flood, "batches": batches, "after": None}.items()
        ):
            lab.say(f"a tenant, {name}")
            work = Workload(quiet.name, _CONNECTIONS, _ENTITIES, letter=f"r{number}-")
            found[name] = _felt(lab, other, server, work, (quiet, greedy), beside)
    return _measured(found)


@contextmanager
def _tenants() -> Iterator[tuple[Server, _Tenant, _Tenant]]:
    """Start a Flux with two tenants, and yield how it is asked."""
    admin_token = secrets.token_hex(16)
    with OwnFlux(admin_token=admin_token) as flux, closing(Server(flux.url, admin_token)) as server:
        quiet, greedy = (_Tenant(name, server.register(name)) for name in ("quiet", "greedy"))
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
    pace = Pace(_WINDOWS * lab.scale.seconds, lab.scale.warm_up_s, pause_s=_PAUSE_S)
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


def _measured(found: dict[str, tuple[Latencies, Latencies]]) -> Measured:
    """Return how many times as long it takes beside the other, by the slower of the two times alone."""
    values = {}
    notes = []
    for at, what in enumerate(("publish", "read")):
        alone = max(found["alone"][at].p99_ms, found["after"][at].p99_ms)
        for name in ("flood", "batches"):
            values[f"{what}-{name}"] = found[name][at].p99_ms / alone
        notes.append(f"{what} p50/p99 ms: " + ", ".join(_told(name, one[at]) for name, one in found.items()))
    return Measured(values, found["batches"][0], note="; ".join(notes))


def _told(name: str, latencies: Latencies) -> str:
    return f"{name} {latencies.p50_ms:.2f}/{latencies.p99_ms:.2f}"


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
