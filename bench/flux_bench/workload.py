"""What a run publishes, so that both sides know it: the generator sends it, the verification expects it.

Each connection writes entities of its own, one request after the other, and every event of a request
carries the request's number. So the state after a run follows from how many requests of each connection
were acknowledged, and one that was lost, swapped or answered too early shows in it. Numbers have nine
digits: all requests of a connection have the same length, each is its number joined into prepared pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

FIRST: Final = 100_000_000  # the number of request 0: a mark of nine digits
PROPERTIES: Final = 3
Pieces = list[bytes]


class Workload(msgspec.Struct, frozen=True):
    """Events of three properties, for some entities of one namespace.

    `events` is the size of a request (1: a single event), `first` the number of its first request. Workloads
    with different `letter`s write different entities of a namespace.
    """

    namespace: str
    connections: int
    entities: int
    events: int = 1
    first: int = 0
    letter: str = "c"

    @property
    def variants(self) -> int:
        """How many different requests a connection sends before it begins again."""
        return max(1, -(-self.entities // (self.connections * self.events)))

    def ids(self, connection: int, variant: int) -> list[str]:
        """Return the entities of one request."""
        start = variant * self.events
        return [f"{self.namespace}/{self.letter}{connection:03d}-{start + n:06d}" for n in range(self.events)]

    def all_ids(self) -> Iterator[str]:
        """Yield every entity."""
        for connection in range(self.connections):
            for variant in range(self.variants):
                yield from self.ids(connection, variant)

    def bodies(self, connection: int) -> list[Pieces]:
        """Return the bodies that a connection sends in turn, as the pieces around the number."""
        return [self._body(self.ids(connection, variant)) for variant in range(self.variants)]

    def expected(self, counts: Sequence[int]) -> dict[str, int]:
        """Return the `sequence` of each entity after `counts` requests of each connection."""
        found = {}
        for connection, count in enumerate(counts):
            for variant in range(min(count, self.variants)):
                rounds = (count - 1 - variant) // self.variants
                number = FIRST + self.first + variant + rounds * self.variants
                found.update(dict.fromkeys(self.ids(connection, variant), number))
        return found

    def _body(self, ids: list[str]) -> Pieces:
        if self.events == 1:
            return event_pieces(ids[0])
        return batch_pieces([event_pieces(entity_id) for entity_id in ids])


def event_pieces(entity_id: str) -> Pieces:
    """Return an event around its number."""
    head = b'{"stream":"bench","source":"flux-bench","payload":{"entity_id":"%b","properties":{"sequence":'
    return [head % entity_id.encode(), b',"temperature":21.5,"status":"active"}}}']


def batch_pieces(events: list[Pieces]) -> Pieces:
    """Return a batch around the numbers of its events."""
    pieces = [b'{"events":[' + events[0][0]]
    pieces += [before[1] + b"," + after[0] for before, after in itertools.pairwise(events)]
    return [*pieces, events[-1][1] + b"]}"]


def with_number(pieces: Pieces, number: int) -> bytes:
    """Return the pieces with the number of request `number` between them."""
    return (b"%d" % (FIRST + number)).join(pieces)


def size_of(pieces: Pieces) -> int:
    """Return the bytes of what `with_number` makes."""
    return len(with_number(pieces, 0))
