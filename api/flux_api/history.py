"""The raw events of an entity, read from their blocks by their positions and from nothing else."""

from __future__ import annotations

import asyncio

import msgspec

from flux_actors.domain.position import Packed, pack, unpack
from flux_actors.log.block import events_at
from flux_actors.log.ports import EventLog

_encode = msgspec.json.Encoder().encode


async def raw_events(log: EventLog, partition: int, positions: list[Packed]) -> bytes:
    """Return the JSON array of the events at `positions`, in that order.

    Raises:
        Unavailable: the log cannot be reached.
        Corrupt: the log no longer holds one of them.
    """
    wanted: dict[int, list[int]] = {}
    for position in positions:
        sequence, offset = unpack(position)
        wanted.setdefault(sequence, []).append(offset)
    found: dict[Packed, bytes] = {}

    async def read(sequence: int) -> None:
        offsets = wanted[sequence]
        data = await log.block(partition, sequence)  # held no longer than its events are taken from it
        for offset, event in zip(offsets, events_at(data, offsets), strict=True):
            found[pack(sequence, offset)] = _encode(event.public())

    reads = [asyncio.create_task(read(sequence)) for sequence in wanted]
    try:
        await asyncio.gather(*reads)
    finally:
        for task in reads:
            task.cancel()  # of those that are still under way when one has failed
    return b"[" + b",".join([found[position] for position in positions]) + b"]"
