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
from flux_bench.driver.handled import watching
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

    def run(self) -> dict[str, Any]:
        """Return messages per second of both behaviours, and how fast the events alone were published."""
        flux.deploy(Silent)
        flux.deploy(Emitting)
        with flux.connect(source="flux-bench") as user:
            silent, emitting = self._measured(user, "silent"), self._measured(user, "emitting")
            self._check(user)
        return {
            "rate": self.messages / silent.seconds,
            "emits": self.messages / emitting.seconds,
            "published_per_s": self.messages / silent.published_s,
            "cpu_us": silent.cpu_us,
        }

    def _measured(self, user: flux.Flux, kind: str) -> _Pass:
        handled_all(user, self._pairs(kind, self.messages // _WARM_UP_SHARE))
        return handled_all(user, self._pairs(kind, self.messages))

    def _pairs(self, kind: str, count: int) -> list[tuple[str, dict[str, Any]]]:
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


def handled_all(user: flux.Flux, pairs: list[tuple[str, dict[str, Any]]]) -> _Pass:
    """Publish, and return when all messages of that were handled."""
    return asyncio.run(_measured(user, pairs))


def run_id() -> str:
    """Return which Flux this is."""
    run = DataFolder(Path(os.environ["FLUX_DATA"])).run()
    return "" if run is None else run.run_id


async def _measured(user: flux.Flux, pairs: list[tuple[str, dict[str, Any]]]) -> _Pass:
    async with watching() as handled:
        meter, own_s = Meter(run_id()), time.process_time()
        started = time.perf_counter()
        waiting = asyncio.create_task(handled.wait(len(pairs), _WITHIN_S))
        await asyncio.to_thread(user.publish_many, pairs, once=False)
        published_s = time.perf_counter() - started
        await waiting
        used = meter.cpu_s() | {"generator": time.process_time() - own_s}
    cpu_us = {part: seconds * 1e6 / len(pairs) for part, seconds in used.items()}
    return _Pass(handled.last_at - started, published_s, cpu_us)
