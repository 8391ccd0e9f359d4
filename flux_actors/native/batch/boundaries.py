"""Boundaries: where in a partition's log a time or a position stands.

A boundary in time is the first block whose clock has reached it: there the log's clock, which is the highest
of all clocks so far, reaches it too. Blocks' clocks are those of the doors that wrote them, so they do not
quite ascend: a block that was sent again comes late, and doors' clocks differ. A search by halves alone would
find one boundary today and another tomorrow. So it looks for a time that is earlier by all that they may be
out of order (`history_disorder_s`), and from there on block after block is looked at. Batch jobs over times
that follow each other then have each event once.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.clock import iso_of, us_of
from flux_actors.domain.place import positions_of
from flux_actors.domain.position import Packed, pack
from flux_actors.errors import Refused
from flux_actors.log.block import HEADER, MAGIC, block_clock_and_count
from flux_actors.log.ports import EventLog, LogBounds
from flux_actors.native.batch.spans import Span

_GONE: Final = 410
_TIME_MARKS: Final = frozenset("Tt:")  # no position holds one, and every RFC 3339 time does
_NEVER: Final = -1  # the clock of what is no block
_DISORDER_US: Final = int(limits.history_disorder_s * 1_000_000)


class Boundary(NamedTuple):
    """A time of the log's clock, in microseconds since 1970, or else packed positions by partition."""

    clock_us: int | None
    positions: dict[int, Packed]


def read_boundary(text: str, name: str) -> Boundary:
    """Return the boundary of a text; `name` is the argument that an error names.

    Raises:
        Refused: it is neither an RFC 3339 time nor a position.
    """
    if not _TIME_MARKS.isdisjoint(text):
        return Boundary(us_of(text, name), {})
    try:
        return Boundary(None, positions_of(text))
    except Refused:
        raise Refused(
            f"{name} must be an RFC 3339 time such as 2026-01-31T12:00:00Z, or a position, not {text[:64]!r}"
        ) from None


async def span_between(log: EventLog, partition: int, since: Boundary | None, until: Boundary | None) -> Span:
    """Return what a partition holds between two boundaries; one that is missing is the log's own end.

    A time includes what happened at it as `since`, and not as `until`; a position the other way round. So one
    job goes on where another ended, by the same text. Of a partition that positions do not name all is read.

    Raises:
        Refused: 410, the log was trimmed behind `since`; 400, it does not reach to a position.
        Unavailable: the log cannot be reached.
    """
    bounds = await log.bounds(partition)
    first = await _place(log, partition, bounds, since)
    end = await _place(log, partition, bounds, until)
    begin = pack(bounds.first, 0)
    if first is None:
        first = begin
    elif first < begin or (first == begin and since is not None and since.clock_us is not None):
        if not bounds.whole or (bounds.origin > 1 and first < begin):
            raise await _gone(log, partition, bounds)
        first = begin
    return Span(partition, first, max(first, pack(bounds.last + 1, 0) if end is None else end))


async def _place(
    log: EventLog, partition: int, bounds: LogBounds, boundary: Boundary | None
) -> Packed | None:
    """Return the position in front of which a boundary stands, `None` if it says nothing of the partition."""
    if boundary is None:
        return None
    if boundary.clock_us is not None:
        return pack(await first_at(log, partition, bounds, boundary.clock_us), 0)
    position = boundary.positions.get(partition)
    if position is None:
        return None
    if position >= pack(bounds.last + 1, 0):
        raise Refused(
            f"the log of partition {partition} ends with block {bounds.last}, before this position; "
            "is it one of another log?"
        )
    return Packed(position + 1)


async def first_at(log: EventLog, partition: int, bounds: LogBounds, clock_us: int) -> int:
    """Return the first block whose clock has reached a time, the one behind the last if none has."""
    early = await _halved(log, partition, bounds.first, bounds.last + 1, clock_us - _DISORDER_US)
    late = await _halved(log, partition, early, bounds.last + 1, clock_us)
    for begin in range(early, late, limits.read_blocks_max):
        sequences = range(begin, min(late, begin + limits.read_blocks_max))
        clocks = await asyncio.gather(*(_clock(log, partition, sequence) for sequence in sequences))
        for sequence, found_us in zip(sequences, clocks, strict=True):
            if found_us >= clock_us:
                return sequence
    return late


async def _halved(log: EventLog, partition: int, low: int, high: int, clock_us: int) -> int:
    """Return a block of `low` to `high` that has reached a time, and whose predecessor has not.

    Of ascending clocks it is the first such block. `high` stands for a block at the end of all time.
    """
    while low < high:
        middle = (low + high) // 2
        if await _clock(log, partition, middle) >= clock_us:
            high = middle
        else:
            low = middle + 1
    return low


async def _clock(log: EventLog, partition: int, sequence: int) -> int:
    data = await log.block(partition, sequence)
    is_block = len(data) >= HEADER.size and data.startswith(MAGIC)
    return block_clock_and_count(data)[0] if is_block else _NEVER


async def _gone(log: EventLog, partition: int, bounds: LogBounds) -> Refused:
    known = "holds nothing any more"
    if bounds.first <= bounds.last:
        known = f"begins at {iso_of(await _clock(log, partition, bounds.first))}"
    return Refused(
        f"the log of partition {partition} was trimmed and {known}; ask for a later time, or for all "
        "that there is by leaving out since",
        _GONE,
    )
