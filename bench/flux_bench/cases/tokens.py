"""Tokens: what asking for them costs the busiest requests, beside a Flux that asks nobody.

Both run side by side and are asked in turn, so that what else happens on the machine happens to both.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from flux_actors import limits
from flux_actors.errors import Corrupt
from flux_bench.cases.case import Case, Stage
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Pace, Publish, Read, Told
from flux_bench.lab import Lab, compare
from flux_bench.metering import Meter
from flux_bench.outcome import Measured, Row
from flux_bench.own_flux import OwnFlux
from flux_bench.server import Server, wait_until
from flux_bench.targets import at_most
from flux_bench.workload import Workload

_CONNECTIONS: Final = 32
_ENTITIES: Final = 1_000
_TURNS: Final = 4
_NAMESPACE: Final = "tenant"
_SETTLE_S: Final = 60.0
_DOOR: Final = "door"


@dataclass(slots=True)
class _Side:
    """One of both: how it is asked, and what it took."""

    name: str
    flux: OwnFlux
    server: Server
    headers: str
    door_s: dict[str, float]
    requests: dict[str, int]
    rate: dict[str, list[float]]

    def do(self, lab: Lab, what: str, job: Publish | Read) -> Told:
        """Do a job and count what it took of the door."""
        meter = Meter(self.flux.run.run_id)
        told = lab.generator.run(job)
        if told.refusal or not told.done:
            raise Corrupt(told.refusal or "nothing was answered")
        self.door_s[what] = self.door_s.get(what, 0.0) + meter.cpu_s()[_DOOR]
        self.requests[what] = self.requests.get(what, 0) + sum(told.counts)
        self.rate.setdefault(what, []).append(told.done / told.seconds)
        return told

    def door_us(self, what: str) -> float:
        """Return what one request took of the door."""
        return self.door_s[what] * 1e6 / self.requests[what]


def tokens(lab: Lab) -> Measured:
    """Publish and read in turn on both, and compare what it takes of their doors."""
    with _sides() as sides:
        pace = Pace(max(lab.scale.seconds / 2, 0.1), lab.scale.warm_up_s / 4)
        for turn in range(_TURNS):
            for side in sides if turn % 2 else sides[::-1]:
                lab.say(f"tokens {side.name}, turn {turn + 1} of {_TURNS}")
                _read(lab, side, _publish(lab, side, turn, pace), pace)
    off, on = sides
    values = {what: on.door_us(what) / off.door_us(what) for what in ("publish", "read")}
    notes = [
        f"{what}: {off.door_us(what):.1f} and {on.door_us(what):.1f} µs, "
        f"{max(off.rate[what]):,.0f} and {max(on.rate[what]):,.0f}/s"
        for what in values
    ]
    return Measured(values, note="door without and with: " + "; ".join(notes))


@contextmanager
def _sides() -> Iterator[list[_Side]]:
    """Start both, the one that asks nobody first."""
    admin_token = secrets.token_hex(16)
    with ExitStack() as stack:
        sides = []
        for name, token in (("off", ""), ("on", admin_token)):
            flux = stack.enter_context(OwnFlux(admin_token=token))
            server = Server(flux.url, token or None)
            stack.callback(server.close)
            # With tokens on the limit is in force, and so high that nobody meets it.
            server.configure({"rate_limit_per_namespace_per_minute": limits.rate_per_minute_range[1]})
            headers = server.register(_NAMESPACE) if token else ""
            sides.append(_Side(name, flux, server, headers, {}, {}, {}))
        yield sides


def _publish(lab: Lab, side: _Side, turn: int, pace: Pace) -> list[str]:
    """Publish, and return the ids of the entities that are there now."""
    workload = Workload(_NAMESPACE, _CONNECTIONS, _ENTITIES, letter=f"t{turn}-")
    told = side.do(lab, "publish", Publish(side.server.place, workload, pace, side.headers))
    expected = workload.expected(told.counts)

    def landed() -> bool:
        found = side.server.sequences(_NAMESPACE)
        return {one: found.get(one) for one in expected} == expected

    wait_until(landed, _SETTLE_S, "all acknowledged events to be applied")
    found = side.server.sequences(_NAMESPACE)
    compare(expected, {one: found[one] for one in found if one in expected}, "the state")
    return list(expected)


def _read(lab: Lab, side: _Side, ids: list[str], pace: Pace) -> None:
    """Read one entity on each connection; with few of them several read the same."""
    chosen = [ids[number % len(ids)] for number in range(_CONNECTIONS)]
    host = side.server.place.name
    requests = [[get(host, f"/api/state/entities/{one}", side.headers)] for one in chosen]
    side.do(lab, "read", Read(side.server.place, requests, [[f'{one}"'.encode()] for one in chosen], pace))


CASES: Final = (
    Case(
        "tokens",
        (
            Row(
                "publish",
                "door's time of a publish with tokens, to without",
                "×",
                at_most(1.1, "×"),
                less_is_better=True,
            ),
            Row("read", "… of a read", "×", at_most(1.1, "×"), less_is_better=True),
        ),
        tokens,
        Stage.ALONE,
        own=True,
        times_max=1,
    ),
)
