"""Merging: blocks of several partitions, each in its order, as one sequence in the order of the log's clocks.

The clock of a block is the one that its log has behind it, which never goes back. A block may go when no
other partition can have one with an earlier clock: those of which a later block is known cannot, nor can one
that was seen at its end at a later time, but for what was on its way to it just then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from flux_actors.log.block import clock_of
from flux_actors.log.ports import StoredBlock

NEVER: Final = -1
FOR_EVER: Final = 1 << 62


class _Waiting(NamedTuple):
    """A block, and the clock of its log behind it."""

    clock_us: int
    block: StoredBlock


class Merge:
    """Blocks that wait for their turn."""

    def __init__(self, partitions: int) -> None:
        self._waiting: list[deque[_Waiting]] = [deque() for _ in range(partitions)]
        self._clocks_us = [NEVER] * partitions
        self._ended_us = [NEVER] * partitions

    def __len__(self) -> int:
        """Return how many blocks wait."""
        return sum(map(len, self._waiting))

    def waiting(self, partition: int) -> int:
        """Return how many of a partition wait."""
        return len(self._waiting[partition])

    def add(self, partition: int, blocks: Iterable[StoredBlock]) -> None:
        """Take the next blocks of a partition."""
        for block in blocks:
            clock_us = max(self._clocks_us[partition], clock_of(block.data) or 0)
            self._clocks_us[partition] = clock_us
            self._waiting[partition].append(_Waiting(clock_us, block))

    def end(self, partition: int, until_us: int) -> None:
        """Note that all blocks of a partition with clocks before `until_us` were added."""
        self._ended_us[partition] = max(self._ended_us[partition], until_us)

    def take(self) -> Iterator[tuple[int, StoredBlock]]:
        """Yield the partition and the block of all that may go."""
        while True:
            _, partition = min(
                (waiting[0].clock_us if waiting else self._ended_us[p], p)
                for p, waiting in enumerate(self._waiting)
            )
            waiting = self._waiting[partition]
            if not waiting:
                return  # whatever waits may not be the earliest
            yield partition, waiting.popleft().block
