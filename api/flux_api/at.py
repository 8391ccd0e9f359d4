"""`at`: the moment of which a reader asks, by time or by position."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from flux_actors import limits
from flux_actors.domain.clock import us_of
from flux_actors.domain.event import terms_in
from flux_actors.domain.position import Packed, pack, parse, unpack
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.block import decode_block
from flux_actors.log.ports import EventLog
from flux_actors.past.target import ThroughPosition, ThroughTime

_DIFFER_US: Final = int(limits.clocks_differ_s * 1_000_000)
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
        """Whether it is a time that has not come: until then the present is the newest state.

        By the log's clock it may have come already, if another door's is ahead of `now_us`, that of this one.
        """
        return self.clock_us is not None and self.clock_us > now_us + _DIFFER_US


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


async def made_whole(moment: Moment, log: EventLog) -> Moment:
    """Return the same moment, but for a position within an atomic batch: all of that is at one position.

    Raises:
        Unavailable: the log cannot be read now.
    """
    places = moment.positions.items()
    ends = await asyncio.gather(*(_end_of_batch(log, partition, position) for partition, position in places))
    return Moment(moment.clock_us, dict(zip(moment.positions, ends, strict=True)))


async def _end_of_batch(log: EventLog, partition: int, position: Packed) -> Packed:
    """Return the position of the last event that applied together with the one at `position`."""
    sequence, offset = unpack(position)
    if not sequence:
        return position
    try:
        block = decode_block(await log.block(partition, sequence))
    except Corrupt:
        return position  # it is not there, or not any more, or is none: whoever tells the past will say so
    last = -1
    while last < offset and last + 1 < len(block.events):
        event = block.events[last + 1]
        terms = None if event.entity_id is None else terms_in(event)
        last += 1 if terms is None else max(1, terms.together)
    return pack(sequence, last) if last >= offset else position
