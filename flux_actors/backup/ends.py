"""Where a backup ends, so that nothing is missing in one partition that another takes for done.

Partitions hang together by one thing alone: a behaviour's effects go to any partition, and when they are
durable a note in that of its entity says that the message is done. A note without its effects would be a
loss. So the ends of all partitions are looked at twice. If no note came between the two looks, then all notes
in front of the second look were durable before it began, and so were their effects: those ends are good. Else
it is looked again; the time between two looks is a millisecond or two.
"""

from __future__ import annotations

import asyncio
from typing import Final

from flux_actors.domain.event import Event, terms_in
from flux_actors.errors import Corrupt
from flux_actors.log.block import decode_block, may_have_terms
from flux_actors.log.ports import EventLog, LogBounds
from flux_actors.reporting import Reporter

_TRIES: Final = 100


async def ends_of(log: EventLog, partitions: int, report: Reporter) -> list[LogBounds]:
    """Return the bounds of all partitions, up to which a backup goes; raises `Unavailable`."""
    for _ in range(_TRIES):
        before, after = await _look(log, partitions), await _look(log, partitions)
        if not await _was_noted(log, before, after):
            return after
    report.say(
        "behaviours are too busy to look in between: what they published in these milliseconds to other "
        "partitions may be missing in this backup"
    )
    return await _look(log, partitions)


async def _look(log: EventLog, partitions: int) -> list[LogBounds]:
    return await asyncio.gather(*(log.bounds(partition) for partition in range(partitions)))


async def _was_noted(log: EventLog, before: list[LogBounds], after: list[LogBounds]) -> bool:
    """Whether something was noted as done between two looks."""
    for partition, (first, last) in enumerate(zip(before, after, strict=True)):
        for sequence in range(first.last + 1, last.last + 1):
            if _has_note(await log.block(partition, sequence)):
                return True
    return False


def _has_note(data: bytes) -> bool:
    if not may_have_terms(data):
        return False
    try:
        events = decode_block(data).events
    except Corrupt:
        return False  # the fold makes nothing of it either
    found = (terms_in(event) for event in events if isinstance(event, Event))
    return any(terms is not None and terms.handled is not None for terms in found)
