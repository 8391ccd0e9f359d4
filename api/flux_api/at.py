"""`at`: the moment of which a reader asks, by time or by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flux_actors.domain.clock import us_of
from flux_actors.domain.position import Packed, parse
from flux_actors.errors import Refused
from flux_actors.past.target import ThroughPosition, ThroughTime

_TIME_MARKS: Final = frozenset("Tt:")  # no position holds one, and every RFC 3339 time does


class Moment:
    """A time of the log's clock, or the highest position of some partitions."""

    def __init__(self, clock_us: int | None, positions: Mapping[int, Packed]) -> None:
        self.clock_us = clock_us
        self.positions = dict(positions)

    def of(self, partition: int) -> ThroughPosition | ThroughTime:
        """Return what it means in a partition.

        Raises:
            Refused: it is a position that says nothing of this one.
        """
        if self.clock_us is not None:
            return ThroughTime(self.clock_us)
        if partition not in self.positions:
            raise Refused(
                "at names a position in another partition of the log than the one asked for; "
                "send a Flux-Position of what you read, or a time"
            )
        return ThroughPosition(self.positions[partition])

    def is_to_come(self, now_us: int) -> bool:
        """Whether it is a time that has not come: until then the present is the newest state."""
        return self.clock_us is not None and self.clock_us > now_us


def read_moment(text: str, partitions: int) -> Moment:
    """Return the moment that a client names; raise `Refused` for a text that is none."""
    if not _TIME_MARKS.isdisjoint(text):
        return Moment(us_of(text, "at"), {})
    try:
        return Moment(None, parse(text, partitions))
    except Refused:
        raise Refused(
            "at must be an RFC 3339 time such as 2026-01-31T12:00:00Z, or the text of a Flux-Position "
            f"header, not {text[:64]!r}"
        ) from None
