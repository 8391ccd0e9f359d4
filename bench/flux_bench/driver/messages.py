"""Messages through a hosted behaviour: from the first publish until the outbox is empty."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import flux_actors as flux
from flux_actors.errors import Corrupt
from flux_bench.driver.behaviours import COUNTED, EMITS_EVERY, Emitting, Silent, entity_of
from flux_bench.driver.handled import Handled
from flux_bench.metering import Meter
from flux_cluster.data_folder import DataFolder

_WITHIN_S: Final = 120.0
_WARM_UP_SHARE: Final = 4


class _Pass(NamedTuple):
    seconds: float
    published_s: float
    cpu_us: dict[str, float]  # of each message


class Messages(msgspec.Struct):
    """So many events to as many entities, after some that are not measured."""

    messages: int
    entities: int
    emits: bool = False

    def run(self) -> dict[str, Any]:
        """Return messages per second, and how fast the events alone were published."""
        made = Emitting if self.emits else Silent
        flux.deploy(made)
        with flux.connect(source="flux-bench") as user:
            _pass(user, self.pairs(made, self.messages // _WARM_UP_SHARE))
            found = _pass(user, self.pairs(made, self.messages))
            if self.emits:
                self._check(user)
        return {
            "rate": self.messages / found.seconds,
            "published_per_s": self.messages / found.published_s,
            "cpu_us": found.cpu_us,
        }

    def pairs(self, made: type[flux.Behaviour], count: int) -> list[tuple[str, dict[str, Any]]]:
        """Return what is published."""
        kind = made.__name__.lower()
        return [
            (
                entity_of(kind, number % self.entities),
                {"temperature": number / 7, "status": "active", "sequence": number},
            )
            for number in range(count)
        ]

    def _check(self, user: flux.Flux) -> None:
        """See that each effect is there."""
        expected = {f"{COUNTED}/{number}": number for number in range(0, self.messages, EMITS_EVERY)}
        states = user.states(expected)
        found = {one: state and state["sequence"] for one, state in states.items()}
        if found != expected:
            raise Corrupt("the effects are not those of the messages")


def handled_all(user: flux.Flux, pairs: list[tuple[str, dict[str, Any]]]) -> None:
    """Publish, and return when all messages of that were handled."""
    _pass(user, pairs)


def _pass(user: flux.Flux, pairs: list[tuple[str, dict[str, Any]]]) -> _Pass:
    return asyncio.run(_measured(user, pairs))


async def _measured(user: flux.Flux, pairs: list[tuple[str, dict[str, Any]]]) -> _Pass:
    handled = await Handled.open()
    meter = _meter()
    started = time.perf_counter()
    waiting = asyncio.create_task(handled.wait(len(pairs), _WITHIN_S))
    own_s = time.process_time()
    await asyncio.to_thread(user.publish_many, pairs, once=False)
    published_s = time.perf_counter() - started
    await waiting
    used = meter.cpu_s() | {"generator": time.process_time() - own_s}
    cpu_us = {part: seconds * 1e6 / len(pairs) for part, seconds in used.items()}
    await handled.close()
    return _Pass(handled.last_at - started, published_s, cpu_us)


def _meter() -> Meter:
    run = DataFolder(Path(os.environ["FLUX_DATA"])).run()
    return Meter(run.run_id if run is not None else "")
