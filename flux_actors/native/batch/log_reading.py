"""Reading a span of the log: some blocks at once, and nothing on its way while nobody reads.

Ray holds a task up for as long as others are behind. A consumer of the stream would be given up by the server
meanwhile; blocks that are asked for one by one, many at once, wait for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.event import Event
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import Block, decode_block, is_newer_version
from flux_actors.log.ports import EventLog
from flux_actors.native.batch.spans import Span

_GONE: Final = 410
_RETRY_S: Final = 0.2


class ReadBlock(NamedTuple):
    """A block, where it stands, and how large it is."""

    sequence: int
    size_bytes: int
    block: Block[Event]


async def blocks_of(log: EventLog, span: Span) -> AsyncGenerator[ReadBlock, None]:
    """Yield the blocks of a span in order; what is no block is passed over, as the fold does.

    Raises:
        Refused: 410, the log was trimmed before the span was read.
        Unavailable: the log was away for too long.
        Corrupt: a block is of a later version of Flux, or is not there.
    """
    sequence, at_once = span.first_block, 1
    while sequence <= span.last_block:
        sequences = range(sequence, min(span.last_block + 1, sequence + at_once))
        found = await asyncio.gather(*(_block(log, span.partition, number) for number in sequences))
        for number, data in zip(sequences, found, strict=True):
            block = _decoded(data)
            if block is not None:
                yield ReadBlock(number, len(data), block)
        sequence = sequences.stop
        at_once = _next_at_once(len(found), sum(map(len, found)))


def _next_at_once(blocks: int, size_bytes: int) -> int:
    """Return how many blocks to read at once after some: twice as many, or as many as there is room for."""
    fits = limits.history_read_bytes * blocks // max(1, size_bytes)
    return max(1, min(2 * blocks, fits, limits.read_blocks_max))


async def _block(log: EventLog, partition: int, sequence: int) -> bytes:
    deadline = asyncio.get_running_loop().time() + limits.history_patience_s
    while True:
        try:
            return await log.block(partition, sequence)
        except Unavailable:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            await asyncio.sleep(_RETRY_S)
        except Corrupt:
            if (await log.bounds(partition)).first > sequence:
                raise Refused(
                    f"the log of partition {partition} was trimmed behind block {sequence} before that was "
                    "read; ask for a later time",
                    _GONE,
                ) from None
            raise


def _decoded(data: bytes) -> Block[Event] | None:
    try:
        return decode_block(data)
    except Corrupt:
        if is_newer_version(data):
            raise
        return None
