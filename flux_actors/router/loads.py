"""What partitions ask of their shards, measured from what shards tell of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from flux_actors.router.placing import Load, weights
from flux_actors.shard.partition import PartitionStatus

_HALF_S: Final = 60.0  # after which the past counts half: one burst is no reason to move


class Loads:
    """The load of each partition, smoothed."""

    def __init__(self, partitions: int) -> None:
        self._counted: list[tuple[int, float] | None] = [None] * partitions
        self._loads = [Load(0.0, 0)] * partitions

    def note(self, rows: Iterable[PartitionStatus], now_s: float) -> None:
        """Take in what a shard tells now."""
        for row in rows:
            before = self._counted[row.partition]
            rate = self._loads[row.partition].events_per_s
            if before is not None and row.events_total >= before[0] and now_s > before[1]:
                total, at_s = before
                share = 1 - math.pow(0.5, (now_s - at_s) / _HALF_S)
                rate += share * ((row.events_total - total) / (now_s - at_s) - rate)
            self._counted[row.partition] = (row.events_total, now_s)
            self._loads[row.partition] = Load(rate, row.entities)

    def weights(self) -> list[float]:
        """Return the weight of each partition."""
        return weights(self._loads)
