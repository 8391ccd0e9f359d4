"""How fast a nats-server of Flux's settings makes full blocks durable: in one stream, and in several."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from flux_actors.errors import Corrupt
from flux_actors.log.block import encode_block
from flux_actors.log.jetstream import JetStreamLog
from flux_bench.log_lab import embedded_log
from flux_bench.sample import sample_event
from flux_bench.scale.model import SYNC_EVENTS
from flux_bench.scale.outcome import Syncs

_STREAMS: Final = 4
_TIMEOUT_S: Final = 10.0


def measure(seconds: float) -> Syncs:
    """Measure both; every block that was acknowledged must be in the log."""
    return Syncs(asyncio.run(_per_s(1, seconds)), _STREAMS, asyncio.run(_per_s(_STREAMS, seconds)))


async def _per_s(streams: int, seconds: float) -> float:
    data = encode_block(1, 1, 1, [sample_event(number) for number in range(SYNC_EVENTS)])
    async with embedded_log(streams) as (_, log):
        started = time.perf_counter()
        counts = await asyncio.gather(*(_publish(log, stream, data, seconds) for stream in range(streams)))
        passed = time.perf_counter() - started
        stored = [(await log.bounds(stream)).last for stream in range(streams)]
    if stored != counts:
        raise Corrupt(f"the log has {sum(stored)} blocks, and {sum(counts)} were acknowledged")
    return sum(counts) / passed


async def _publish(log: JetStreamLog, stream: int, data: bytes, seconds: float) -> int:
    """Append one block behind the other for a time; return how many."""
    until = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < until:
        await log.append(stream, data, f"{stream}-{count}", _TIMEOUT_S)
        count += 1
    return count
