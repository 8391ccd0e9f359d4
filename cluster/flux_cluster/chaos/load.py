"""The load of one scenario: its clients, each in a thread, and what they know in the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import httpx

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_cluster.chaos.counter import Counter
from flux_cluster.chaos.onlooker import SocketOnlooker
from flux_cluster.chaos.prober import Prober
from flux_cluster.chaos.publisher import RETRY_S, Publisher, State
from flux_cluster.chaos.scenario import Workload

_JOIN_S: Final = RETRY_S + 20
_FAREWELL_S: Final = 0.5


class Load:
    """Begins with `start`; `finish` ends the writers, `leave` the watchers.

    All of its namespaces begin with `prefix`. Of those that clients share there is one in each partition, so
    whichever a fault hits, there are events to lose.
    """

    def __init__(self, url: str, workload: Workload, seed: int, prefix: str, partitions: int) -> None:
        self.url = url
        self.prefix = prefix
        self._spaces = _one_of_each(partitions, prefix)
        self._writing, self._watching, self._given_up = (threading.Event() for _ in range(3))
        self.publishers = [
            Publisher(url, self._spaces, number, seed, self._writing, workload.pause_s, self._given_up)
            for number in range(workload.publishers)
        ]
        self.counters = [
            Counter(url, self._spaces, number, seed, self._writing, self._given_up)
            for number in range(workload.counters)
        ]
        self.probers = [
            Prober(url, space, self._writing, writes, seed, self._given_up)
            for space in _one_of_each(partitions, f"{prefix}probe")
            for writes in (True, False)
        ]
        self.onlookers = [
            SocketOnlooker(", ".join(patterns), patterns)
            for patterns in _patterns(self._spaces, workload.watchers)
        ]
        self.writers: list[Publisher | Counter] = [*self.publishers, *self.counters]
        self._asking: list[Publisher | Counter | Prober] = [*self.writers, *self.probers]
        self._writers = [threading.Thread(target=one.run, daemon=True) for one in self._asking]
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
            for space in self._spaces:
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
        return sum(one.done for one in (*self.writers, *(one for one in self.probers if one.writes)))

    @property
    def expected(self) -> State:
        """What the publishers' and the probers' entities must be."""
        clients: list[Publisher | Prober] = [*self.publishers, *self.probers]
        return {one: properties for client in clients for one, properties in client.state.items()}

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

    def activity(self, *, of_watchers: bool) -> dict[str, int]:
        """Return how much was answered to each client by now, by its name; to watchers, told."""
        asking = {one.name: one.done for one in self._asking}
        if not of_watchers:
            return asking
        return asking | {f"watcher {n} of {one.name}": one.changes for n, one in enumerate(self.onlookers)}

    def idle(self, since: Mapping[str, int]) -> list[str]:
        """Return the clients to which nothing more was answered, or told, than they had."""
        now = self.activity(of_watchers=True)
        return [name for name, had in since.items() if now[name] <= had]

    def trouble(self) -> Iterator[str]:
        """Yield what clients were answered that must not be."""
        for one in self._asking:
            yield from (f"{one.name}: {text}" for text in one.trouble)

    def _say_farewell(self, space: str) -> None:
        event = {
            "stream": "chaos",
            "source": "farewell",
            "payload": {"entity_id": f"{space}/farewell", "properties": {"n": 0}},
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
    """Return a namespace of each partition, in their order, each the first such name that there is."""
    partitioning, found = Partitioning(partitions), dict[int, str]()
    number = 0
    while len(found) < partitions:
        space = f"{prefix}{number}"
        (partition,) = partitioning.of_namespace(space)
        found.setdefault(partition, space)
        number += 1
    return [found[partition] for partition in range(partitions)]


def _patterns(spaces: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Return what each watcher watches: all, some, or one entity."""
    everything = tuple(f"{space}/*" for space in spaces)
    kinds = [everything, everything[:2], (f"{spaces[0]}/p0-1",)]
    return [kinds[number % len(kinds)] for number in range(count)]
