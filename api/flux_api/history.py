"""The events of an entity, read from their blocks by their positions and from nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed, pack, unpack
from flux_actors.log.block import events_at
from flux_actors.log.ports import EventLog

_encode = msgspec.json.Encoder().encode


async def raw_events(log: EventLog, partition: int, positions: Sequence[int]) -> bytes:
    """Return the JSON array of the events at `positions`, in that order.

    Raises:
        Unavailable: the log cannot be reached.
        Corrupt: the log no longer holds one of them.
    """
    events = await events_at_positions(log, partition, positions)
    return b"[" + b",".join([_encode(event.public()) for event in events]) + b"]"


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
