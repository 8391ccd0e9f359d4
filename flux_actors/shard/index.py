"""The ids of a partition in order, for lists.

Actors are never forgotten while the log knows them, so ids only come. They are sorted when a reader begins:
Python's sort merges the few new ones into the sorted rest in about linear time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice

from flux_actors.domain.entity import EntityActor
from flux_actors.domain.fold import PartitionState


class IdIndex:
    """Sorted ids over the actors of one partition."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._sorted: list[str] = []

    def refresh(self) -> None:
        """Take in the ids that came since: 2 ms for a few new ones beside 200,000, 10 ms beside a million."""
        known = len(self._sorted)
        if known < len(self._state.entities):
            self._sorted += islice(self._state.entities, known, None)
            self._sorted.sort()

    def living(self, prefix: str, after: str | None, ids_max: int) -> tuple[list[EntityActor], str | None]:
        """Return those of the next `ids_max` ids that live, and where to go on, if anywhere."""
        found, ended = self._next(prefix, after, ids_max)
        entities = self._state.entities
        actors = [entities[entity_id] for entity_id in found]
        return [actor for actor in actors if actor.properties is not None], None if ended else found[-1]

    def _next(self, prefix: str, after: str | None, ids_max: int) -> tuple[list[str], bool]:
        """Return the next ids that begin with `prefix`, and whether they are the last."""
        ids = self._sorted
        start = bisect_left(ids, prefix) if after is None else bisect_right(ids, after)
        end = start + ids_max
        if end < len(ids) and ids[end].startswith(prefix):
            return ids[start:end], False
        found = ids[start:end]
        return found[: bisect_left(found, 1, key=lambda entity_id: not entity_id.startswith(prefix))], True
