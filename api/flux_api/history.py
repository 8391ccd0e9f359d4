"""The events of an entity, read from their blocks by their positions and from nothing else.

A page is of the newest events that are asked for; the next one begins behind its last, so that it holds the
same whatever was published meanwhile. A history ends with the entity's first event, or where its positions
are kept no longer, or where the log was trimmed: the last two are told, with the time since when nothing is
missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.position import Packed, pack, unpack
from flux_actors.errors import Corrupt
from flux_actors.log.block import events_at
from flux_actors.log.ports import EventLog

FOREVER: Final = 1 << 62
_encode = msgspec.json.Encoder().encode


class HistoryQuery(NamedTuple):
    """Which events are asked for: since <= log time < until, in front of a packed position, the newest."""

    since_us: int
    until_us: int
    before: int
    limit: int


class HistoryPage(NamedTuple):
    """Events as JSON, newest first."""

    body: bytes
    last: int | None  # the packed position of the oldest, if there are older ones
    from_us: int | None  # since when nothing is missing, if some of what was asked for may be


async def history_page(
    log: EventLog, partition: int, kept: Sequence[tuple[int, int]], query: HistoryQuery, *, whole: bool
) -> HistoryPage:
    """Return a page of a history.

    Arguments:
        log: holds the events.
        partition: of the entity.
        kept: packed position and log time of those events that are known, newest first.
        query: which of them.
        whole: whether these are all events that the entity ever had.

    Raises:
        Unavailable: the log cannot be reached.
        Corrupt: the log lacks a block, and was not trimmed.
    """
    found = [place for place in kept if _is_asked_for(place, query)]
    page, more = found[: query.limit], len(found) > query.limit
    from_us = kept[-1][1] if kept and not whole else None
    body, first = await _readable(log, partition, [position for position, _ in page])
    if first:
        more, from_us = False, _told_from(kept, first)
    ends = from_us is not None and query.since_us <= from_us
    return HistoryPage(body, page[-1][0] if more else None, from_us if ends else None)


def _is_asked_for(place: tuple[int, int], query: HistoryQuery) -> bool:
    position, clock_us = place
    return position < query.before and query.since_us <= clock_us < query.until_us


async def _readable(log: EventLog, partition: int, positions: Sequence[int]) -> tuple[bytes, int]:
    """Return the events that the log still holds, and where it begins if some are in front of it, else 0."""
    first = 0
    while True:
        wanted = [position for position in positions if position >= first]
        try:
            return await raw_events(log, partition, wanted), first
        except Corrupt:
            first = pack((await log.bounds(partition)).first, 0)
            if wanted[-1] >= first:
                raise  # nothing that was trimmed: the log was damaged


def _told_from(kept: Sequence[tuple[int, int]], first: int) -> int:
    """Return since when nothing is missing in a log that begins at `first`, which some are in front of."""
    told = [clock_us for position, clock_us in kept if position >= first]
    return told[-1] if told else kept[0][1] + 1


async def raw_events(log: EventLog, partition: int, positions: Sequence[int]) -> bytes:
    """Return the JSON array of the events at `positions`, in that order, but for notes about behaviours.

    Raises:
        Unavailable: the log cannot be reached.
        Corrupt: the log no longer holds one of them.
    """
    events = await events_at_positions(log, partition, positions)
    return b"[" + b",".join([_encode(event.public()) for event in events if not _is_note(event)]) + b"]"


def _is_note(event: Event) -> bool:
    """Whether an event is a note about behaviours: one that sets an entity's state is nobody's event."""
    terms = terms_in(event)
    return terms is not None and terms.is_note


async def events_at_positions(log: EventLog, partition: int, positions: Sequence[int]) -> list[Event]:
    """Return the events at packed positions, in that order; raises as `raw_events` does."""
    wanted: dict[int, list[int]] = {}
    for position in positions:
        sequence, offset = unpack(Packed(position))
        wanted.setdefault(sequence, []).append(offset)
    found: dict[int, Event] = {}

    async def read(sequence: int) -> None:
        offsets = wanted[sequence]
        data = await log.block(partition, sequence)  # held no longer than its events are taken from it
        for offset, event in zip(offsets, events_at(data, offsets), strict=True):
            found[pack(sequence, offset)] = event

    reads = [asyncio.create_task(read(sequence)) for sequence in wanted]
    try:
        await asyncio.gather(*reads)
    finally:
        for task in reads:
            task.cancel()  # of those that are still under way when one has failed
    return [found[position] for position in positions]
