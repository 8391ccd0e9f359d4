"""What a watcher needs who comes, or comes back: the present state page by page, or what happened since.

A page of rows is made in one go, so all of it was true at one sequence: whoever holds the feed's changes
meanwhile knows of each whether the page has it in it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from flux_actors import limits
from flux_actors.domain.change import UnreadChange, decode_feed
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.pattern import names
from flux_actors.shard import reads
from flux_actors.shard.partition import HostedPartition

_OFFSET_MAX: Final = (1 << limits.offset_bits) - 1


def rows_behind(host: HostedPartition, prefix: str, after: str | None) -> bytes:
    """Return the next `Rows`, about `base_bytes` of them, as bytes."""
    sequence = host.readable().sequence
    host.index.refresh()
    found, end = host.index.living(prefix, after, limits.run_ids_max)
    rows: list[msgspec.Raw] = []
    size = 0
    for one in found:
        row = reads.encode(EntityRow(one.entity_id, one.properties, one.position, one.updated_us))
        rows.append(msgspec.Raw(row))
        size += len(row)
        if size >= limits.base_bytes and len(rows) < len(found):
            end = one.entity_id
            break
    return reads.encode((sequence, rows, end))


async def recalled(host: HostedPartition, pattern: str, after: int, changes_max: int) -> bytes:
    """Return the `Recalled` of what `pattern` names behind position `after`, as bytes."""
    sequence = host.readable().sequence
    known, offset = divmod(after, 1 << limits.offset_bits)
    messages = host.ring.since(known if offset == _OFFSET_MAX else known - 1, sequence)
    if messages is None:
        return reads.encode(reads.Recalled(sequence, None))
    changes: list[UnreadChange] = []
    for data in messages:
        heard = decode_feed(data).changes
        changes += [one for one in heard if one.position > after and names(pattern, one.entity_id)]
        if len(changes) > changes_max:
            break
        await asyncio.sleep(0)
    told = [(one.position, one.entity_id, one.encoded, one.clock_us) for one in changes]
    return reads.encode((sequence, told))
