"""Publishing many events straight to the log."""

from __future__ import annotations

import time
from typing import Any

import msgspec

import flux_actors as flux
from flux_actors.errors import Corrupt


class Publishing(msgspec.Struct):
    """So many events to as many entities of one namespace, in one call."""

    namespace: str
    events: int
    entities: int

    def run(self) -> dict[str, Any]:
        """Return events per second until all are durable; afterwards all must be in the state."""
        with flux.connect(source="flux-bench") as user:
            self._publish(user, self.entities)
            seconds = self._publish(user, self.events)
            first = self.events - self.entities
            expected = {self._id(number): number for number in range(first, self.events)}
            states = user.states(expected)
        if {one: state and state["sequence"] for one, state in states.items()} != expected:
            raise Corrupt("what was published is not what the state holds")
        return {"rate": self.events / seconds}

    def _publish(self, user: flux.Flux, count: int) -> float:
        pairs = [
            (self._id(number), {"temperature": number / 7, "status": "active", "sequence": number})
            for number in range(count)
        ]
        started = time.perf_counter()
        user.publish_many(pairs)
        return time.perf_counter() - started

    def _id(self, number: int) -> str:
        return f"{self.namespace}/sensor-{number % self.entities:06d}"
