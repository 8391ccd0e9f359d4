"""The newest feed messages of a partition, kept to repair doors that missed some."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from flux_actors import limits


class KeptMessage(NamedTuple):
    """An encoded feed message and the sequences it spans."""

    after: int
    sequence: int
    data: bytes


class FeedRing:
    """Feed messages without a gap between them, newest last, bounded in bytes."""

    def __init__(self) -> None:
        self._kept: deque[KeptMessage] = deque()
        self._size = 0

    def add(self, message: KeptMessage) -> None:
        """Keep a message; one that does not follow the last makes all before it useless."""
        if self._kept and self._kept[-1].sequence != message.after:
            self._kept.clear()
            self._size = 0
        self._kept.append(message)
        self._size += len(message.data)
        while self._size > limits.feed_ring_bytes_max and len(self._kept) > 1:
            self._size -= len(self._kept.popleft().data)

    def since(self, sequence: int, until: int) -> list[bytes] | None:
        """Return all messages behind `sequence` up to `until`, `None` when some are gone."""
        if sequence >= until:
            return []
        if not self._kept or self._kept[0].after > sequence or self._kept[-1].sequence < until:
            return None
        return [message.data for message in self._kept if message.sequence > sequence]
