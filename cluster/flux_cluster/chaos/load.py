"""The load of one scenario: its clients, each in a thread, and what they know in the end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Final

import httpx

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_cluster.chaos.counter import Counter
from flux_cluster.chaos.onlooker import SocketOnlooker
from flux_cluster.chaos.prober import Prober
from flux_cluster.chaos.publisher import RETRY_S, SPACES, Publisher, State
from flux_cluster.chaos.scenario import Workload

_JOIN_S: Final = RETRY_S + 20
_FAREWELL_S: Final = 0.5


class Load:
    """Begins with `start`; `finish` ends the writers, `leave` the watchers."""

    def __init__(self, url: str, workload: Workload, seed: int, partitions: int) -> None:
        self.url = url
        self.prefix = f"c{uuid.uuid4().hex[:8]}-"
        self._writing, self._watching, self._given_up = (threading.Event() for _ in range(3))
        self.publishers = [
            Publisher(url, self.prefix, number, seed, self._writing, workload.pause_s, self._given_up)
            for number in range(workload.publishers)
        ]
        self.counters = [
            Counter(url, self.prefix, number, seed, self._writing, self._given_up)
            for number in range(workload.counters)
        ]
        self.probers = [
            Prober(url, space, self._writing, writes)
            for space in _one_of_each(partitions, self.prefix)
            for writes in (True, False)
        ]
        self.onlookers = [
            SocketOnlooker(", ".join(patterns), patterns)
            for patterns in _patterns(self.prefix, workload.watchers)
        ]
        self.writers: list[Publisher | Counter] = [*self.publishers, *self.counters]
        runs = [one.run for one in self.writers] + [one.run for one in self.probers]
        self._writers = [threading.Thread(target=run, daemon=True) for run in runs]
        self._watchers = [
            threading.Thread(target=one.run, args=(url, self._watching), daemon=True)
            for one in self.onlookers
        ]

    def start(self) -> None:
        """Begin all."""
        for thread in (*self._watchers, *self._writers):
            thread.start()

    def finish(self) -> None:
        """Have the writers end, each when its last event was acknowledged.

        Raises:
            Unavailable: one does not end.
        """
        self._writing.set()
        _join(self._writers, _JOIN_S)

    def leave(self) -> None:
        """Have the watchers end: each does with the next thing that it is told, so it is told something."""
        self._watching.set()
        for _ in range(int(RETRY_S / _FAREWELL_S)):
            if self._given_up.is_set():
                return
            for space in range(SPACES):
                self._say_farewell(space)
            for thread in self._watchers:
                thread.join(_FAREWELL_S / len(self._watchers))
            if not any(thread.is_alive() for thread in self._watchers):
                return
        raise Unavailable("a watcher was told nothing any more")

    def abandon(self) -> None:
        """Tell all to end, and wait for none."""
        for event in (self._given_up, self._writing, self._watching):
            event.set()

    @property
    def acked(self) -> int:
        """How many events were acknowledged by now."""
        published = sum(len(ids) for one in self.publishers for ids in list(one.acked.values()))
        counted = sum(len(numbers) for one in self.counters for numbers in list(one.counted.values()))
        return published + counted + sum(one.answered for one in self.probers if one.writes)

    @property
    def expected(self) -> State:
        """What the publishers' entities must be."""
        return {
            one: properties for publisher in self.publishers for one, properties in publisher.state.items()
        }

    @property
    def written(self) -> dict[str, list[int]]:
        """The numbers that were written of each publisher's entity."""
        return {one: numbers for publisher in self.publishers for one, numbers in publisher.written.items()}

    @property
    def counted_entities(self) -> list[str]:
        """The entities that counters share."""
        return sorted({one for counter in self.counters for one in counter.counted})

    def outage_s(self, *, writes: bool) -> float:
        """Return the longest outage of publishes or of lists."""
        return max(one.longest_s for one in self.probers if one.writes is writes)

    def trouble(self) -> Iterator[str]:
        """Yield what clients were answered that must not be."""
        for one in self.writers:
            yield from (f"{type(one).__name__.lower()} {one.number}: {text}" for text in one.trouble)

    def _say_farewell(self, space: int) -> None:
        event = {
            "stream": "chaos",
            "source": "farewell",
            "payload": {"entity_id": f"{self.prefix}{space}/farewell", "properties": {"n": 0}},
        }
        try:
            httpx.post(f"{self.url}/api/events", json=event, timeout=1, trust_env=False)
        except httpx.HTTPError:
            return  # it is said again


def _join(threads: list[threading.Thread], timeout_s: float) -> None:
    for thread in threads:
        thread.join(timeout_s)
        if thread.is_alive():
            raise Unavailable(f"a client did not end within {timeout_s:.0f} s")


def _one_of_each(partitions: int, prefix: str) -> list[str]:
    """Return a namespace of each partition."""
    partitioning, found = Partitioning(partitions), dict[int, str]()
    number = 0
    while len(found) < partitions:
        space = f"{prefix}probe{number}"
        found.setdefault(partitioning.of_entity(f"{space}/probe"), space)
        number += 1
    return list(found.values())


def _patterns(prefix: str, count: int) -> list[tuple[str, ...]]:
    """Return what each watcher watches: all, some, or one entity."""
    everything = tuple(f"{prefix}{space}/*" for space in range(SPACES))
    kinds = [everything, everything[:2], (f"{prefix}0/p0-1",)]
    return [kinds[number % len(kinds)] for number in range(count)]
