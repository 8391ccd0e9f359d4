"""Watching one entity: its present state, then each state that follows."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.position import Packed, text_of
from flux_actors.native.copies import Copies
from flux_actors.native.following import Following
from flux_actors.native.session import Session
from flux_actors.native.standing import Standing


class State(NamedTuple):
    """An entity at a moment: its properties, `None` when there is none, and since which position."""

    properties: dict[str, Any] | None
    position: str


class Watch:
    """What waits for one who watches; who is too slow misses the oldest states and always sees the newest."""

    def __init__(self, entity_id: str, following: Following, standing: Standing, session: Session) -> None:
        self._partition = following.partitioning.of_entity(entity_id)
        self._states: deque[State] = deque(maxlen=limits.watch_states_max)
        self._news = asyncio.Event()
        self._ended = False
        self._copies = Copies(
            entity_id, following, standing, session, whole=True, told=self._hear, failed=self._news.set
        )

    async def open(self) -> None:
        """Begin with the present state; raises as `Copies.open` does."""
        await self._copies.open()

    async def take(self) -> list[State]:
        """Return what has come, at least one state; nothing when the watch was closed.

        Raises:
            FluxError: it may not be watched any more.
        """
        while not self._states and not self._ended:
            error = self._copies.error
            if error is not None:
                raise error
            self._news.clear()
            await self._news.wait()
        taken = list(self._states)
        self._states.clear()
        return taken

    async def close(self) -> None:
        """Watch no longer."""
        self._ended = True
        self._news.set()
        await self._copies.close()

    def _hear(self, _: str, row: EntityRow | None, position: int) -> None:
        properties = None if row is None else dict(row.properties or {})
        self._states.append(State(properties, text_of(self._partition, Packed(position))))
        self._news.set()
