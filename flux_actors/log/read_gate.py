"""How many blocks may be on their way from the log at once: by their bytes, not by their number.

Answers come through one subscription of the client, and what may wait in it is bounded; beyond, answers are
lost without a word. A block holds one event or four thousand, so its size is not known before it is here: the
gate expects the largest of the last few. A hundred blocks of 64 KB take 5 to 7 ms with 64 on their way, and 7
to 12 ms with 8.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from flux_actors import limits

_REMEMBERED: Final = 0.9  # of the size expected, with each block that is smaller


class ReadGate:
    """Lets reads through as long as their blocks fit into `read_bytes_max` together, one always."""

    def __init__(self) -> None:
        self._expected_bytes = float(limits.body_single_bytes)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place, in the order of asking; who got one must `leave`."""
        if not self._waiting and self._has_place():
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place came at the same moment
            raise

    def saw(self, size_bytes: int) -> None:
        """Learn from the size of a block."""
        self._expected_bytes = max(size_bytes, self._expected_bytes * _REMEMBERED)

    def leave(self) -> None:
        """Give the place to the next."""
        self._inside -= 1
        while self._waiting and self._has_place():
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _has_place(self) -> bool:
        fits = (self._inside + 1) * self._expected_bytes <= limits.read_bytes_max
        return not self._inside or (fits and self._inside < limits.read_blocks_max)
