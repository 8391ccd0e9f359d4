"""The large state: many entities, each written several times, and one with a history of its own.

It is made once for all cases that need it. The entity with the history is written in between, so that its
events lie far apart in a long log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from flux_actors.errors import Corrupt
from flux_bench.generator.jobs import Pace, Publish, Told
from flux_bench.workload import FIRST, Workload

if TYPE_CHECKING:
    from flux_bench.lab import Lab

_CONNECTIONS: Final = 4
_BATCH: Final = 1_000
_PROBE_EVENTS: Final = 50  # in each round
_PROBE: Final = "h"


class LargeState:
    """What was written so far, and what must be read."""

    def __init__(self, namespace: str, entities: int) -> None:
        self.namespace = namespace
        self.probe = f"{namespace}/{_PROBE}000-000000"  # in the same log as the others
        self.probe_events = 0
        self.events = 0
        self.whole = False  # `fill` came to its end
        self.expected: dict[str, int] = {}  # `sequence` of each entity
        batch = min(_BATCH, max(1, entities // _CONNECTIONS))
        self._workload = Workload(namespace, _CONNECTIONS, entities, batch)

    def fill(self, lab: Lab, rounds: int) -> None:
        """Write everything `rounds` times, and the entity with the history between the rounds."""
        for number in range(1, rounds + 1):
            lab.say(f"filling, round {number} of {rounds}: {self._workload.entities:,} entities")
            self.publish(lab, Pace(requests=self._workload.variants))
            self._publish_probe(lab)
        lab.made += self.expected
        self.whole = True

    def publish(self, lab: Lab, pace: Pace) -> Told:
        """Publish on, and wait until all of it is applied."""
        told = Told([], 0, 0)
        with lab.counting(lambda: sum(told.counts) * self._workload.events):
            told = lab.run(Publish(lab.place, self._workload, pace))
        self.take(told)
        return told

    def job(self, lab: Lab, pace: Pace) -> Publish:
        """Return the job that publishes on; `take` must hear what came of it."""
        return Publish(lab.place, self._workload, pace)

    def take(self, told: Told) -> int:
        """Note what was acknowledged; return the events."""
        if told.refusal:
            raise Corrupt(told.refusal)
        self.expected |= self._workload.expected(told.counts)
        first = self._workload.first + max(told.counts)
        self._workload = msgspec.structs.replace(self._workload, first=first)
        added = sum(told.counts) * self._workload.events
        self.events += added
        return added

    @property
    def entities(self) -> int:
        """How many entities there are, without the one that has the history."""
        return self._workload.connections * self._workload.variants * self._workload.events

    @property
    def newest_of_probe(self) -> list[int]:
        """The `sequence` of each event of the entity with the history, newest first."""
        return [FIRST + number for number in range(self.probe_events - 1, -1, -1)]

    def _publish_probe(self, lab: Lab) -> None:
        workload = Workload(self.namespace, 1, 1, first=self.probe_events, letter=_PROBE)
        with lab.counting(lambda: _PROBE_EVENTS):
            told = lab.run(Publish(lab.place, workload, Pace(requests=_PROBE_EVENTS)))
        self.probe_events += told.counts[0]
        self.events += told.counts[0]
        self.expected |= workload.expected(told.counts)
