"""Where a past begins: with the newest snapshot that is old enough, or with the log's own beginning.

A snapshot serves when it belongs to this log, when it ends before the target does, and when the log still
holds the block behind it. Without one, and without the log's beginning, the target is gone: that is told,
with the time from which on the past is known.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors.domain.clock import iso_of
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.block import block_clock_and_count
from flux_actors.log.ports import EventLog, LogBounds
from flux_actors.past.target import Target
from flux_actors.past.wanted import FilteredState
from flux_actors.snapshot.codec import Header, read_header, read_snapshot
from flux_actors.snapshot.store import SnapshotStore

_log = structlog.get_logger(__name__)
_GONE: Final = 410


async def begin(log: EventLog, store: SnapshotStore, blank: FilteredState, target: Target) -> FilteredState:
    """Return the state from which a fold leads to `target`: `blank`, or one like it that a snapshot filled.

    Raises:
        Refused: 410, neither snapshots nor the log reach back so far; 413, there is no room for a snapshot.
    """
    partition = blank.partition
    bounds = await log.bounds(partition)
    oldest: Header | None = None
    for sequence in await asyncio.to_thread(store.sequences, partition):
        header = await _header(store, partition, sequence, bounds)
        if header is None:
            continue
        if target.includes(header.sequence, header.clock_us):
            state = await asyncio.to_thread(_state, store, header, blank)
            if state is not None:
                return state
        else:
            oldest = header
    if bounds.whole and target.reaches(bounds.origin):
        blank.sequence = bounds.origin - 1
        return blank
    raise await _gone(log, partition, bounds, oldest)


async def _header(store: SnapshotStore, partition: int, sequence: int, bounds: LogBounds) -> Header | None:
    """Return the header of a snapshot behind which this log goes on, `None` for any other."""
    if not bounds.first - 1 <= sequence <= bounds.last:
        return None
    try:
        header = await asyncio.to_thread(_read_header, store, partition, sequence)
    except Corrupt:
        return None  # removed a moment ago, or damaged, which recovery tells of
    return header if (header.log_id, header.partition) == (bounds.log_id, partition) else None


def _read_header(store: SnapshotStore, partition: int, sequence: int) -> Header:
    return read_header(store.read(partition, sequence))


def _state(store: SnapshotStore, header: Header, blank: FilteredState) -> FilteredState | None:
    """Return the state that a snapshot holds, `None` if it does not verify."""
    state = blank.like()
    try:
        read_snapshot(store.read(header.partition, header.sequence), state)
    except Corrupt as error:
        _log.error(
            "snapshot.passed_over",
            partition=header.partition,
            sequence=header.sequence,
            reason=error.message,
        )
        return None
    return state


async def _gone(log: EventLog, partition: int, bounds: LogBounds, oldest: Header | None) -> Refused:
    if oldest is not None:
        since = iso_of(oldest.clock_us)
        return Refused(
            f"the log of partition {partition} was trimmed: its past is known from {since} on; ask for a "
            "later time or position",
            _GONE,
        )
    try:
        clock_us, _ = block_clock_and_count(await log.block(partition, bounds.first))
    except Corrupt:
        known = "and no past of it is known yet"
    else:
        known = f"before {iso_of(clock_us)}, and no snapshot is kept from which its past could be told"
    return Refused(f"the log of partition {partition} was trimmed {known}; ask for the present", _GONE)
