"""What waits to be sent to one socket, bounded.

While a reader keeps up, it gets every frame in order. One that is too slow for its queue is conflated:
the changes that no longer fit are merged to the newest value per entity and property (a deletion before
them is kept, for it ends a former life), and it is told how many entities that concerns before they are
sent. It never slows anybody else and nothing is dropped silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_api.frames import frames_of, message


class Outbox:
    """Frames for one socket."""

    def __init__(self, frames_max: int = limits.socket_queue_frames_max) -> None:
        self._frames_max = frames_max
        self._frames: deque[str] = deque()
        self._conflated: dict[str, list[Change]] = {}  # a deletion, what came after it, or both
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    def put_change(self, change: Change, frames: list[str]) -> None:
        """Add a change with its rendered frames."""
        if self._conflated or len(self._frames) + len(frames) > self._frames_max:
            self._conflate(change)
        else:
            self._frames.extend(frames)
        self._filled.set()

    def put(self, frame: str) -> None:
        """Add a message that must not be conflated: an answer, an error, metrics."""
        self._frames.append(frame)
        self._filled.set()

    @property
    def full(self) -> bool:
        """Whether the reader is behind by a whole queue."""
        return len(self._frames) >= self._frames_max

    async def take(self) -> list[str]:
        """Return what is to be sent next, at least one frame."""
        await self._filled.wait()
        frames = list(self._frames)
        self._frames.clear()
        if self._conflated:
            frames.append(message(type="conflated", entities=len(self._conflated)))
            for change in chain.from_iterable(self._conflated.values()):
                frames += frames_of(change)
            self._conflated.clear()
        self._filled.clear()
        self._emptied.set()
        return frames

    async def room(self) -> None:
        """Return when the queue is not full."""
        while self.full:
            self._emptied.clear()
            await self._emptied.wait()

    def _conflate(self, change: Change) -> None:
        before = self._conflated.pop(change.entity_id, [])
        if change.properties is None:
            before = []
        elif before and before[-1].properties is not None:
            merged = (before.pop().properties or {}) | change.properties
            change = Change(change.position, change.entity_id, merged, change.clock_us)
        self._conflated[change.entity_id] = [*before, change]
