"""Generations of a log: `flux repartition` copies a log into the next one, which takes its place.

Each generation has streams and subjects of its own, and a range of sequences that no other has: so a
position says by itself of which generation it is, and one of an earlier generation matches nothing of a later
one by accident. A generation is passed over when the log before has come too near to its range. There is
room for 512 of them below 2^53, up to where every JSON reader takes the token of a claim for what it is.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

SEQUENCE_BITS: Final = 32  # of the blocks of one generation and partition
FIRST_GENERATION: Final = 1
_ROOM: Final = 1 << (SEQUENCE_BITS - 1)  # for a log to go on while it is copied
_STREAM: Final = re.compile(r"FLUX_EVENTS_(?:G(\d+)_)?\d+")


def origin_of(generation: int) -> int:
    """Return the sequence of the first block of a generation; in front of it there was nothing."""
    return ((generation - 1) << SEQUENCE_BITS) + 1


def generation_behind(generation: int, last: int) -> int:
    """Return the generation for a copy of a log that ends at `last` and goes on."""
    return max(generation + 1, ((last + _ROOM) >> SEQUENCE_BITS) + 2)


def stream_name(partition: int, generation: int = FIRST_GENERATION) -> str:
    """Return the stream of a partition."""
    return f"FLUX_EVENTS_{_part(partition, generation, '_').upper()}"


def event_subject(partition: int, generation: int = FIRST_GENERATION) -> str:
    """Return the subject of a partition's blocks."""
    return f"flux.events.{_part(partition, generation, '.')}"


def closed_subject(partition: int, generation: int) -> str:
    """Return the subject of a partition that is closed: nobody writes there but who has closed it."""
    return f"flux.closed.{_part(partition, generation, '.')}"


def generation_of(stream: str) -> int | None:
    """Return of which generation a stream is; `None` for one that is none of the log."""
    found = _STREAM.fullmatch(stream)
    if found is None:
        return None
    return FIRST_GENERATION if found[1] is None else int(found[1])


def _part(partition: int, generation: int, between: str) -> str:
    return str(partition) if generation == FIRST_GENERATION else f"g{generation}{between}{partition}"


class Generations(Protocol):
    """The logs of one Flux, generation by generation: they are closed to writers, and removed."""

    async def close(self, generation: int, partition: int, last_block: bytes) -> int:
        """Have a partition take no more writes from anybody, and return its last sequence.

        `last_block` is stored behind whatever was on its way: when it is there, nothing else can come.
        Closing again stores another one.

        Raises:
            Unavailable: not known to be closed; closing it again is safe.
        """
        ...

    async def is_open(self, generation: int, partition: int) -> bool:
        """Whether a partition takes writes; raises `Unavailable`."""
        ...

    async def reopen(self, generation: int, partition: int) -> None:
        """Have a partition take writes again, also if it seems to: it may be closed at this moment.

        Raises:
            Unavailable: not known to be open; opening it again is safe.
        """
        ...

    async def remove_earlier(self, generation: int) -> int:
        """Remove all that is in front of a generation, and return how many partitions that were.

        Raises `Unavailable`.
        """
        ...

    async def remove_unfinished(self, generation: int, sure: Callable[[], Awaitable[object]]) -> int:
        """Remove copies behind a generation that never became the log; return how many partitions that were.

        What is closed there was the log once, and stays. `sure` is awaited in front of each: what it raises
        ends the removal. Raises `Unavailable`.
        """
        ...
