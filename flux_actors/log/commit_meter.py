"""What committers count; those of one door share a meter.

Counted is per block and per try of one, so what an event costs stays what it was (docs/decisions/018).
"""

from __future__ import annotations

from flux_actors.metering import table
from flux_actors.metering.instruments import Histogram


class CommitMeter:
    """The counts of some committers."""

    __slots__ = ("append_s", "block_bytes", "block_events", "commit_s", "failures", "retries")

    def __init__(self) -> None:
        self.commit_s = Histogram(table.COMMIT_SECONDS.bounds)
        self.append_s = Histogram(table.APPEND_SECONDS.bounds)
        self.block_events = Histogram(table.BLOCK_EVENTS.bounds)
        self.block_bytes = Histogram(table.BLOCK_BYTES.bounds)
        self.retries = 0
        self.failures = 0  # events

    def durable(self, waited_s: float, took_s: float, events: int, size: int) -> None:
        """Count a block that is durable, whose oldest event waited so long, and whose append took so long."""
        self.commit_s.observe(waited_s)
        self.append_s.observe(took_s)
        self.block_events.observe(events)
        self.block_bytes.observe(size)
