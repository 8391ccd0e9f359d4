"""Losses: changes that the feed did not bring, and that the shard no longer remembers.

What became of the entities is known at once: their rows. What happened to them may still be in the log. It is
asked for once for all subscriptions of a door: the first that wants to know has it looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.pattern import EVERYTHING, names, prefix_of
from flux_actors.errors import Unavailable
from flux_actors.feed.patience import patiently
from flux_api.watching.ground import Ground, Recall, end_of

_TRIES: Final = 6  # 3 s: the present state is better than waiting


class Loss:
    """One loss in one partition; `rows` are all entities that changed meanwhile, as they are now."""

    def __init__(self, ground: Ground, partition: int, rows: Sequence[EntityRow], newest: int = 0) -> None:
        self.partition = partition
        self.newest = newest  # the number of the newest subscription: those behind it have missed nothing
        self._ground = ground
        self._after = end_of(ground.place(partition) or 0)  # the feed moves on when everybody knows
        self._rows = {row.entity_id: row for row in rows}
        self._named: dict[str, list[EntityRow]] = {}
        self._recalling: asyncio.Task[Recall | None] | None = None

    def rows(self, pattern: str) -> list[EntityRow]:
        """Return the rows that a pattern names."""
        if prefix_of(pattern) is None:
            row = self._rows.get(pattern)
            return [] if row is None else [row]
        if pattern not in self._named:
            rows = self._rows.values()
            self._named[pattern] = [row for row in rows if names(pattern, row.entity_id)]
        return self._named[pattern]

    async def recall(self) -> Recall | None:
        """Return what happened in the partition since the loss began, `None` when that is not known."""
        if self._recalling is None:
            self._recalling = asyncio.create_task(self._recall())
        return await asyncio.shield(self._recalling)

    async def _recall(self) -> Recall | None:
        try:
            return await patiently(self._ground.recall, EVERYTHING, self.partition, self._after, tries=_TRIES)
        except Unavailable:
            return None
