"""What the log holds, as operators are told it."""

from __future__ import annotations

import asyncio
from typing import Any

from flux_actors.domain.clock import iso_of
from flux_actors.errors import FluxError
from flux_actors.shard.retention import decode_facts
from flux_api.door import Door


async def log_report(door: Door) -> dict[str, Any]:
    """Return the bounds that are set, and each partition's facts or why they cannot be told now."""
    partitions = door.partitioning.all()
    rows = await asyncio.gather(*(_partition(door, partition) for partition in partitions))
    return {
        "max_age_seconds": door.settings.log_max_age,
        "max_bytes": door.settings.log_max_bytes,
        "partitions": rows,
    }


async def _partition(door: Door, partition: int) -> dict[str, Any]:
    try:
        facts = decode_facts(await door.shards.call(partition, "log_facts", partition))
    except FluxError as error:
        return {"partition": partition, "error": error.message}
    oldest = facts.snapshots[-1] if facts.snapshots else None
    filled = facts.blocks > 0
    return {
        "partition": partition,
        "blocks": facts.blocks,
        "bytes": facts.size_bytes,
        "first": _place(facts.first, facts.first_us) if filled else None,
        "last": _place(facts.last, facts.last_us) if filled else None,
        "snapshots": len(facts.snapshots),
        "oldest_snapshot": None if oldest is None else _place(oldest, facts.oldest_us),
        "trim_keeps_from": facts.keeps_from,
    }


def _place(sequence: int, clock_us: int | None) -> dict[str, Any]:
    return {"sequence": sequence, "time": None if clock_us is None else iso_of(clock_us)}
