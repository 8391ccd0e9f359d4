"""A submission: the events of one request and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.committer import Outcome, Settled


class Published(NamedTuple):
    """An event that is durable, and where."""

    event: Event
    partition: int
    position: Packed


class Placed(NamedTuple):
    """Events that became durable side by side: the first at `position`, the others behind it."""

    partition: int
    indexes: Sequence[int]
    position: Packed


class Submission:
    """Events in the order of the request; one that failed is replaced by why."""

    __slots__ = ("_done", "_undone", "_waiting", "events", "given_up", "placed")

    def __init__(self, events: list[Event | FluxError], done: Callable[[Submission], None]) -> None:
        self.events = events
        self.placed: list[Placed] = []
        self._undone = 0  # that are durable and were refused when they were applied
        self.given_up = 0  # events that failed since they were checked
        self._done = done
        self._waiting = 1  # `begun` takes it away: nothing is told before all pieces are under way

    @property
    def failed(self) -> int:
        """How many failed."""
        return self._undone + len(self.events) - sum([len(placed.indexes) for placed in self.placed])

    def expect(self, partition: int, indexes: Sequence[int]) -> Settled:
        """Return who is to hear the outcome of a piece."""

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):
                self.fail(indexes, outcome)
            else:
                self.placed.append(Placed(partition, indexes, outcome))
            self._settle()

        self._waiting += 1
        return settled

    def fail(self, indexes: Sequence[int], error: FluxError) -> None:
        """Note why events are not known to be durable."""
        self.given_up += len(indexes)
        for index in indexes:
            self.events[index] = error

    def undo(self, index: int, error: FluxError) -> None:
        """Note why an event that is durable did not apply."""
        self._undone += 1
        self.events[index] = error

    def refuse(self, indexes: Sequence[int], error: FluxError) -> None:
        """Note why a piece that was expected is not under way."""
        self.fail(indexes, error)
        self._settle()

    def begun(self) -> None:
        """Every piece is under way."""
        self._settle()

    def positions(self) -> dict[int, Packed]:
        """Return the highest position of each partition."""
        highest: dict[int, Packed] = {}
        for partition, indexes, first in self.placed:
            last = first + len(indexes) - 1
            if last > highest.get(partition, -1):
                highest[partition] = Packed(last)
        return highest

    def places(self) -> Iterator[tuple[int, int, Packed]]:
        """Yield `(index, partition, position)` of every durable event."""
        for partition, indexes, first in self.placed:
            for offset, index in enumerate(indexes):
                yield index, partition, Packed(first + offset)

    def _settle(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._done(self)
