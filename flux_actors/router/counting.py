"""What a router counts."""

from __future__ import annotations

from flux_actors.metering import table
from flux_actors.metering.instruments import Histogram


class RouterCounts:
    """The counts of one router, from its start."""

    __slots__ = ("handover_s", "moves", "starts", "unanswered")

    def __init__(self) -> None:
        self.starts = 0  # of shards
        self.unanswered = 0  # questions to shards
        self.moves = 0  # of partitions
        self.handover_s = Histogram(table.HANDOVER_SECONDS.bounds)

    def moved(self, handed_over_s: float) -> None:
        """Count a partition that moved, which nobody led for so long."""
        self.moves += 1
        self.handover_s.observe(handed_over_s)
