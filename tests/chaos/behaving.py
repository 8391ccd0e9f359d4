"""Behaviours whose every effect can be counted, and whoever publishes to them and asks what came of it."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import flux_actors as flux
from flux_actors.domain.partitioning import Partitioning
from tests.patient import RETRY_S, Client, event_of

NEAR: Final = "near"  # the namespace of what acts
FAR: Final = "faraway"  # one in another partition
BATCH: Final = 5
assert Partitioning(4).of_entity(f"{NEAR}/x") != Partitioning(4).of_entity(f"{FAR}/x")


class Teller(flux.Behaviour):
    """Has one effect of each message in its own partition, and one in another."""

    match = f"{NEAR}/in/*"

    def on_change(self, entity, change):
        who, n = entity.id.rpartition("/")[2], change.properties["n"]
        entity.emit(f"{NEAR}/ledger/{who}", {"n": n})
        entity.emit(f"{FAR}/each/{who}/{n}", {"n": n})

    def on_ask(self, entity, message):
        return message


class Ledger(flux.Behaviour):
    """Knows whether the effects came in order, each once."""

    match = f"{NEAR}/ledger/*"

    def reduce(self, state, event):
        last, n = state.get("last", 0), event.properties["n"]
        wrong = state.get("wrong", [])
        return {"last": n, "wrong": wrong if n == last + 1 else [*wrong, [last, n]][:20]}


class Each(flux.Behaviour):
    """Counts its events."""

    match = f"{FAR}/each/*"

    def reduce(self, state, event):
        return {"times": state.get("times", 0) + 1}


class Clock(flux.Behaviour):
    """Says when its reminder was set, and when it has come."""

    match = f"{NEAR}/clock/*"

    def on_change(self, entity, change):
        after_s = change.properties["after_s"]
        entity.remind("due", after_s=after_s)
        entity.emit(f"{NEAR}/set/{entity.id.rpartition('/')[2]}", {"after_s": after_s})

    def on_reminder(self, entity, name):
        entity.emit(f"{FAR}/rung/{entity.id.rpartition('/')[2]}", {"rings": name})


class Rung(flux.Behaviour):
    """Counts how often a clock has rung."""

    match = f"{FAR}/rung/*"

    def reduce(self, state, event):
        return {"times": state.get("times", 0) + 1}


DEPLOYED: Final = (Teller, Ledger, Each, Clock, Rung)


@dataclass
class Feeder:
    """Publishes numbered events of one entity, each batch until it is acknowledged, and counts them."""

    client: Client
    who: str
    stop: threading.Event
    acked: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            batch = [self._event(n) for n in self._next()]
            while self.client.post("/api/events/batch", batch).json()["failed"]:
                time.sleep(0.05)  # sent again under the same ids
            self.acked += BATCH
            time.sleep(0.1)

    def _next(self) -> range:
        return range(self.acked + 1, self.acked + 1 + BATCH)

    def _event(self, n: int) -> dict[str, Any]:
        return event_of(f"{NEAR}/in/{self.who}", {"n": n}, f"{self.who}-{n}")


def moment_of(text: str) -> float:
    """Return a moment that Flux tells, by `time.time`."""
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Feeding:
    """Several feeders at once, and the check that all they have published had its effects exactly once."""

    client: Client
    feeders: list[Feeder] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self, count: int = 3) -> None:
        names = [uuid.uuid4().hex[:8] for _ in range(count)]
        self.feeders = [Feeder(self.client, name, self.stop) for name in names]
        self.threads = [threading.Thread(target=feeder.run, daemon=True) for feeder in self.feeders]
        for thread in self.threads:
            thread.start()

    def acked(self) -> int:
        return sum(feeder.acked for feeder in self.feeders)

    def done(self) -> int:
        """Return how many messages have had their effects, as far as the ledgers say."""
        ledgers = (self.client.properties(f"{NEAR}/ledger/{one.who}") for one in self.feeders)
        return sum(ledger.get("last", 0) for ledger in ledgers)

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(RETRY_S + 20)
            assert not thread.is_alive()

    def check(self) -> None:
        """Every message has had its effects once, and in order."""
        for feeder in self.feeders:
            ledger = self.client.properties(f"{NEAR}/ledger/{feeder.who}")
            assert ledger == {"last": feeder.acked, "wrong": []}
            each = self.client.entities(f"{FAR}/each/{feeder.who}/")
            wanted = {f"{FAR}/each/{feeder.who}/{n}" for n in range(1, feeder.acked + 1)}
            assert each.keys() == wanted
            assert {one["properties"]["times"] for one in each.values()} == {1}
            acting = self.client.properties(f"{NEAR}/in/{feeder.who}")
            assert acting == {"n": feeder.acked}
