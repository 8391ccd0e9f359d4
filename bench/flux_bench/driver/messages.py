"""Messages through a hosted behaviour: from the first publish until the outbox is empty."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

import flux_actors as flux
from flux_actors.errors import Corrupt
from flux_bench.driver.behaviours import COUNTED, EMITS_EVERY, SPREAD, Emitting, Silent
from flux_bench.driver.handled import Handled

_WITHIN_S: Final = 120.0


class Messages(msgspec.Struct):
    """So many events to as many entities, after some that are not measured."""

    messages: int
    entities: int
    emits: bool = False
    warm_up: int = 1_000

    def run(self) -> dict[str, Any]:
        """Return messages per second, and how fast the events alone were published."""
        made = Emitting if self.emits else Silent
        flux.deploy(made)
        with flux.connect(source="flux-bench") as user:
            self._pass(user, made, self.warm_up)
            seconds, published_s = self._pass(user, made, self.messages)
            if self.emits:
                self._check(user)
        return {
            "messages_per_s": self.messages / seconds,
            "published_per_s": self.messages / published_s,
            "seconds": seconds,
        }

    def _pass(self, user: flux.Flux, made: type[flux.Behaviour], count: int) -> tuple[float, float]:
        kind = made.__name__.lower()
        pairs = [
            (
                f"{SPREAD}/{kind}/{number % self.entities:06d}",
                {"temperature": number / 7, "status": "active", "sequence": number},
            )
            for number in range(count)
        ]
        return asyncio.run(self._measured(user, pairs))

    async def _measured(self, user: flux.Flux, pairs: list[Any]) -> tuple[float, float]:
        handled = await Handled.open()
        started = time.perf_counter()
        waiting = asyncio.create_task(handled.wait(len(pairs), _WITHIN_S))
        await asyncio.to_thread(user.publish_many, pairs, once=False)
        published = time.perf_counter()
        await waiting
        return handled.last_at - started, published - started

    def _check(self, user: flux.Flux) -> None:
        """See that each effect is there."""
        expected = {f"{COUNTED}/{number}": number for number in range(0, self.messages, EMITS_EVERY)}
        states = user.states(expected)
        found = {one: state and state["sequence"] for one, state in states.items()}
        if found != expected:
            raise Corrupt("the effects are not those of the messages")
