"""A log in memory, and blocks of it whose clocks a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from flux_actors.domain.event import Event, TermedEvent
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog

SECOND_US = 1_000_000


def event(entity_id: str | None, properties: dict[str, Any] | None = None, **more: Any) -> Event:
    values = {"event_id": "e", "named_by_client": False, "source": "s", "stream": "t", "timestamp_ms": 7}
    return Event(entity_id, properties, **(values | more))


async def write(
    log: MemoryLog, events: Sequence[Event | bytes], clock_us: int = 1, partition: int = 0
) -> int:
    """Append a block; an event of bytes goes in as it is. Return its sequence."""
    number = (await log.bounds(partition)).last + 1
    encoded = [one if isinstance(one, bytes) else encode_event(one) for one in events]
    termed = any(isinstance(one, TermedEvent) for one in events)
    data = encode_block(1, number, clock_us, encoded, termed=termed)
    return await log.append(partition, data, f"block {number}", 1.0)


def log_of_clocks(clocks_s: Iterable[float]) -> MemoryLog:
    """Return a log of blocks with one event each and these clocks, in seconds."""
    log = MemoryLog(1)

    async def fill() -> None:
        for clock_s in clocks_s:
            await write(log, [event("a/1", {"n": 1})], int(clock_s * SECOND_US))

    asyncio.run(fill())
    return log
