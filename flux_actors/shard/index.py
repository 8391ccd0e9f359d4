"""The ids of a partition in order, for lists by page.

Actors are never forgotten while the log knows them, so ids only come. They are sorted when a reader
asks: Python's sort merges the few new ones into the sorted rest in about linear time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.fold import PartitionState


class IdIndex:
    """Sorted ids over the actors of one partition."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._sorted: list[str] = []

    def page(self, prefix: str, after: str | None, limit: int) -> tuple[list[EntityRow], str | None]:
        """Return up to `limit` living entities behind id `after`, and where to go on, if anywhere."""
        ids = self._ids()
        start = bisect_left(ids, prefix) if after is None else bisect_right(ids, after)
        rows: list[EntityRow] = []
        last: str | None = None
        for entity_id in islice(ids, start, None):
            if not entity_id.startswith(prefix):
                return rows, None
            if len(rows) == limit:
                return rows, last
            actor = self._state.entities[entity_id]
            last = entity_id
            if actor.lives:
                rows.append(actor.reading())
        return rows, None

    def count(self, prefix: str) -> int:
        """Return how many living entities have ids beginning with `prefix`."""
        if not prefix:
            return self._state.alive
        return sum(1 for _ in self.living_ids(prefix))

    def living_ids(self, prefix: str) -> Iterator[str]:
        """Yield the ids of living entities beginning with `prefix`, sorted."""
        ids = self._ids()
        entities = self._state.entities
        for position in range(bisect_left(ids, prefix), len(ids)):
            entity_id = ids[position]
            if not entity_id.startswith(prefix):
                return
            if entities[entity_id].lives:
                yield entity_id

    def _ids(self) -> list[str]:
        known = len(self._sorted)
        if known < len(self._state.entities):
            self._sorted += islice(self._state.entities, known, None)
            self._sorted.sort()
        return self._sorted
