"""Up to where a restore goes: the end of a backup, or the last block of each partition up to a time.

The log's clock is the running maximum of its blocks' clocks, so what is up to a time is a prefix of the log.
A block is taken whole or not at all: all its events have its clock.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from flux_actors import limits
from flux_actors.backup.archive import checked
from flux_actors.backup.manifest import KeptSnapshot, Part, Segment
from flux_actors.backup.segments import decode_segment
from flux_actors.domain.clock import iso_of
from flux_actors.errors import Refused
from flux_actors.log.block import clock_of
from flux_actors.places.place import Place

_GONE = 410


class Cut(NamedTuple):
    """What is restored of a partition."""

    part: Part
    last: int  # the last block
    snapshots: list[KeptSnapshot]  # newest first

    @property
    def segments(self) -> list[Segment]:
        """The files that have blocks of it."""
        return [segment for segment in self.part.segments if segment.first <= self.last]

    @property
    def whole(self) -> bool:
        """Whether it is all that the backup has."""
        return self.last == self.part.last


async def cut(place: Place, part: Part, at_us: int | None) -> Cut:
    """Return what is restored of a partition.

    Raises:
        Refused: 410, the backup does not reach back to that time.
        Corrupt: one of its files is damaged.
    """
    last = part.last if at_us is None else await _last_until(place, part, at_us)
    usable = [one for one in part.snapshots if one.sequence <= last]
    if not part.is_whole and not usable:
        since = min(one.clock_us for one in part.snapshots)
        raise Refused(
            f"of partition {part.partition} this backup knows what was so from {iso_of(since)} on; ask for a "
            "later time, or use an earlier backup",
            _GONE,
        )
    kept = usable[: limits.snapshots_kept]
    return Cut(part, last, kept if part.is_whole else kept + usable[limits.snapshots_kept :][-1:])


async def blocks_of(place: Place, part: Part, segment: Segment) -> list[bytes]:
    """Return the blocks of a file; raises `Corrupt` when it is damaged."""

    def read() -> list[bytes]:
        return decode_segment(checked(place, segment.file), part.partition, segment.first, segment.last)

    return await asyncio.to_thread(read)


async def _last_until(place: Place, part: Part, at_us: int) -> int:
    last = part.first - 1
    for segment in part.segments:
        if segment.clock_us > at_us:
            blocks = await blocks_of(place, part, segment)
            return segment.first + _prefix(blocks, at_us) - 1
        last = segment.last
    return last


def _prefix(blocks: list[bytes], at_us: int) -> int:
    """Return how many blocks stand in front of the first with a later clock."""
    for number, data in enumerate(blocks):
        if (clock_of(data) or 0) > at_us:
            return number
    return len(blocks)
