"""Entities that act, and plain Ray actors beside them: messages, questions, memory, waking."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import msgspec

from flux_actors.errors import Corrupt, Unavailable
from flux_bench.cases.case import Case, Stage
from flux_bench.driver.asks import Asks
from flux_bench.driver.filling import Filling
from flux_bench.driver.messages import Messages
from flux_bench.driver.plain_actors import PlainActors
from flux_bench.driver.publishing import Publishing
from flux_bench.driver.waking import Waking
from flux_bench.driving import drive
from flux_bench.lab import Lab
from flux_bench.latencies import Latencies
from flux_bench.opening import on_own
from flux_bench.outcome import Measured, Row
from flux_bench.own_flux import OwnFlux
from flux_bench.targets import at_least, at_most

_MESSAGES: Final = 20  # of each entity
_ASKERS: Final = 32
_ASKED: Final = 4  # entities
_ACTORS: Final = 8
_FEW: Final = 10_000
_REMINDERS: Final = 10  # times `memory_entities`
_WAKE_MEMORY_BYTES: Final = 2_000_000  # room for a few thousand entities: most of those written leave it
_WAKE_ENTITIES: Final = 10_000


def behaviour_messages(lab: Lab) -> Measured:
    """Publish events to entities that hear of them, until the log says that all were handled."""
    found = drive(lab.mine, Messages(_MESSAGES * lab.scale.entities, lab.scale.entities))
    note = f"published at {found['published_per_s']:,.0f}/s meanwhile"
    return Measured({"rate": found["rate"], "emits": found["emits"]}, None, found["cpu_us"], note=note)


def ask_hosted(lab: Lab) -> Measured:
    """Ask entities whose code runs beside the shard."""
    return _asked(drive(lab.mine, Asks(lab.scale.samples, _ASKERS, _ASKED)))


def ask_dedicated(lab: Lab) -> Measured:
    """Ask entities that have Ray actors of their own."""
    return _asked(drive(lab.mine, Asks(lab.scale.samples, _ASKERS, 2, alone=True)))


def _asked(found: dict[str, Any]) -> Measured:
    one, many = _latencies(found["one"]), _latencies(found["many"])
    values = {"p50": one.p50_ms, "p99": one.p99_ms, "many": many.p50_ms, "many99": many.p99_ms}
    return Measured(values, one, note=f"{found['rate']:,.0f} answers/s with {_ASKERS} askers")


def acting_memory(lab: Lab) -> Measured:
    """Have many entities handle a message each; see what shard and worker have grown by afterwards.

    On a Flux that did nothing before: what other cases have let go of would be used again.
    """
    entities = lab.scale.memory_entities
    if entities < _FEW:  # of which no figure is made
        grown = drive(lab.mine, Filling(entities))
    else:
        with on_own(OwnFlux(), lab.generator, lab.scale, lab.say) as here:
            grown = drive(here.mine, Filling(entities))
    parts = ", ".join(f"{part} {size / entities:,.0f} bytes" for part, size in grown.items())
    return Measured({"kb": max(0.0, sum(grown.values())) / entities / 1000}, note=parts)


class _Told(msgspec.Struct):
    mb: float
    all_mb: float


def reminders(lab: Lab) -> Measured:
    """Fold a reminder for each of many entities, in a process of its own."""
    count = _REMINDERS * lab.scale.memory_entities
    command = [sys.executable, "-m", "flux_bench.reminder_memory", str(count)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise Corrupt(done.stderr.decode().strip().splitlines()[-1])
    told = msgspec.json.decode(done.stdout, type=_Told)
    note = f"{count:,} reminders, one of each entity; with the entities {told.all_mb:,.0f} MB"
    return Measured({"mb": told.mb}, note=note)


def wake(lab: Lab) -> Measured:
    """Ask entities that have left memory, on a Flux that has little of it."""
    samples = lab.scale.samples
    entities = min(_WAKE_ENTITIES, 100 * lab.scale.entities)
    flux = OwnFlux("--memory-bytes", str(_WAKE_MEMORY_BYTES))
    with on_own(flux, lab.generator, lab.scale, lab.say) as here:
        found = drive(here.mine, Waking(entities, samples))
        cold = _cold(here)
    if cold < entities // 2:
        raise Unavailable(f"only {cold:,} of {entities:,} entities had left memory")
    slept, awake = _latencies(found["cold"]), _latencies(found["warm"])
    note = f"awake it takes {awake.p50_ms:.2f} ms (p99 {awake.p99_ms:.2f}); {cold:,} entities on disk"
    return Measured({"p50": slept.p50_ms, "p99": slept.p99_ms}, slept, note=note)


def _cold(lab: Lab) -> int:
    status = lab.server.expect("GET", "/api/status").json()
    return sum(int(part["cold"] or 0) for part in status["partitions"])


def publish_many(lab: Lab) -> Measured:
    """Publish many events in one call, from a driver."""
    entities = lab.scale.entities
    found = drive(lab.mine, Publishing(lab.namespace(), _MESSAGES * entities, entities))
    return Measured({"rate": found["rate"]})


def ray_actors(lab: Lab) -> Measured:
    """Start a plain Ray actor for each entity, and call them."""
    actors = min(_ACTORS, max(2, lab.scale.samples // 10))
    found = drive(lab.mine, PlainActors(actors, 4 * lab.scale.samples))
    return Measured({key: float(value) for key, value in found.items()}, note=f"{actors} actors")


def _latencies(found: Any) -> Latencies:
    return msgspec.convert(found, Latencies)


CASES: Final = (
    Case(
        "behaviour-messages",
        (
            Row(
                "rate",
                "messages through a hosted behaviour that does nothing, one shard",
                "messages/s",
                at_least(60_000, "messages/s"),
            ),
            Row("emits", "… that has an effect for every 100th", "messages/s"),
        ),
        behaviour_messages,
        own=True,
    ),
    Case(
        "ask",
        (
            Row("p50", "ask a hosted entity: p50", "ms", at_most(3, "ms")),
            Row("p99", "… p99", "ms", less_is_better=True),
            Row("many", "… 32 at once: p50", "ms", less_is_better=True),
            Row("many99", "… 32 at once: p99", "ms", less_is_better=True),
        ),
        ask_hosted,
        own=True,
    ),
    Case(
        "ask-dedicated",
        (
            Row("p50", "ask an entity with an actor of its own: p50", "ms", at_most(6, "ms")),
            Row("p99", "… p99", "ms", less_is_better=True),
            Row("many", "… 32 at once: p50", "ms", less_is_better=True),
            Row("many99", "… 32 at once: p99", "ms", less_is_better=True),
        ),
        ask_dedicated,
        own=True,
    ),
    Case(
        "acting-memory",
        (Row("kb", "growth of shard and worker per idle entity with a behaviour", "KB", at_most(1.2, "KB")),),
        acting_memory,
        own=True,
        times_max=1,
    ),
    Case(
        "reminders",
        (Row("mb", "memory of a million pending reminders", "MB", at_most(300, "MB")),),
        reminders,
        Stage.ALONE,
        times_max=1,
    ),
    Case(
        "wake",
        (
            Row("p50", "ask an entity that has left memory: p50", "ms", at_most(5, "ms")),
            Row("p99", "… p99", "ms", less_is_better=True),
        ),
        wake,
        Stage.ALONE,
        own=True,
        times_max=1,
    ),
    Case(
        "publish-many",
        (
            Row(
                "rate",
                "publish_many from a driver, to one namespace",
                "events/s",
                at_least(150_000, "events/s"),
            ),
        ),
        publish_many,
        own=True,
    ),
    Case(
        "ray-actors",
        (
            Row("starts", "for comparison, a plain Ray actor per entity: starts", "actors/s"),
            Row("pss_mb", "… memory of each (PSS)", "MB", less_is_better=True),
            Row("rss_mb", "… memory of each (RSS)", "MB", less_is_better=True),
            Row("one_by_one", "… calls one by one", "calls/s"),
            Row("pipelined", "… calls pipelined, over all of them", "calls/s"),
        ),
        ray_actors,
        own=True,
    ),
)
