"""A shard's memory: one budget for the hot entities of all its partitions.

Between two pulls, entities leave in short slices until the estimate is under the budget; nobody pulls
meanwhile, so memory holds the budget and one pull at most. The partition whose hand points at the actor that
has been idle the longest gives first: the hands of all partitions are one clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from flux_actors import limits
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable
from flux_actors.shard.cold import ColdStore
from flux_actors.shard.passivating import Passivator

_log = structlog.get_logger(__name__)
_ROOM: Final = 0.97  # of the budget is left in use, so that entities leave by the batch
_RETRY_S: Final = 5.0


class MemoryPlan(NamedTuple):
    """What an operator asked for."""

    bytes_max: int
    folder: Path  # on whose disk cold entities wait


class Memory:
    """The budget of a shard and the partitions that share it."""

    def __init__(self, bytes_max: int, make_store: Callable[[], ColdStore]) -> None:
        self._bytes_max = bytes_max
        self._make_store = make_store
        self._passivators: dict[int, Passivator] = {}
        self._retry_at = 0.0

    def state(self, partition: int) -> PartitionState:
        """Return the empty state of a partition, whose entities may leave memory, in place of the one before.

        Raises:
            Unavailable: there is no place for a cold store.
        """
        self.forget(partition)
        state = PartitionState(partition)
        self._passivators[partition] = Passivator(state, self._make_store())
        return state

    def forget(self, partition: int) -> None:
        """Give up the budget and the cold store of a partition that is hosted no longer."""
        previous = self._passivators.pop(partition, None)
        if previous is not None:
            previous.close()

    async def relieve(self, partition: int) -> None:
        """Bring memory under the budget after a turn of a partition."""
        if time.monotonic() < self._retry_at:
            return
        try:
            self._passivators[partition].settle()
            if self._used() > self._bytes_max:
                while self._slice():  # noqa: ASYNC110 - work is done, nothing is waited for
                    await asyncio.sleep(0)
        except Unavailable as error:
            _log.error("passivation.waits", reason=error.message, hot_bytes=self._used())
            self._retry_at = time.monotonic() + _RETRY_S

    def _slice(self) -> bool:
        """Have entities leave for a moment; return whether more should."""
        end_at = time.monotonic() + limits.passivation_slice_s
        while self._used() > _ROOM * self._bytes_max:
            idlest = min(self._passivators.values(), key=lambda one: one.idle_since_us)
            if not idlest.evict():
                return False
            if time.monotonic() >= end_at:
                return True
        return False

    def _used(self) -> int:
        return sum(passivator.hot_bytes for passivator in self._passivators.values())
