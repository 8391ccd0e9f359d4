"""How fast single events are committed: by connections, partitions, and events per block.

Every connection publishes one event, waits until it is durable, publishes the next. Baseline: one event
per message and one after the other, which is what a log without group commit does. After each run all
blocks are read back: every acknowledged event must be there once, at the position it was acknowledged at.
"""

from __future__ import annotations

import asyncio
import time

from flux_actors import limits
from flux_actors.domain.position import Packed, unpack
from flux_actors.log.block import decode_block, event_at
from flux_actors.log.committer import Committer
from flux_actors.log.jetstream import JetStreamLog
from flux_bench.log_lab import embedded_log, median_of, options, show
from flux_bench.sample import sample_event

Acked = list[tuple[int, Packed, int]]  # partition, position, number of the event


async def committed_per_s(
    connections: int, partitions: int, events: int, block_events_max: int = limits.block_events_max
) -> float:
    """Return acknowledged events per second."""
    async with embedded_log(partitions) as (_, log):
        committers = [
            Committer(log, number, number + 1, lambda: time.time_ns() // 1000, block_events_max)
            for number in range(partitions)
        ]
        acked: Acked = []
        numbers = iter(range(events))

        async def publish_in_turn() -> None:
            for number in numbers:
                partition = number % partitions
                (outcome,) = await committers[partition].commit([sample_event(number)])
                assert isinstance(outcome, int), outcome
                acked.append((partition, outcome, number))

        started = time.perf_counter()
        await asyncio.gather(*(publish_in_turn() for _ in range(connections)))
        seconds = time.perf_counter() - started
        await check(log, partitions, acked, events)
    return events / seconds


async def check(log: JetStreamLog, partitions: int, acked: Acked, events: int) -> None:
    """Fail unless the log holds each acknowledged event once, at its position."""
    assert len(acked) == events
    stored = 0
    blocks: dict[tuple[int, int], bytes] = {}
    for partition in range(partitions):
        reader = log.reader(partition, after=0)
        last = (await log.bounds(partition)).last
        while len([key for key in blocks if key[0] == partition]) < last:
            for block in await reader.pull(1.0):
                blocks[partition, block.sequence] = block.data
                stored += len(decode_block(block.data).events)
        await reader.close()
    assert stored == events
    for partition, position, number in acked:
        sequence, offset = unpack(position)
        event = event_at(blocks[partition, sequence], offset)
        assert event.timestamp_ms == 1_700_000_000_000 + number


def measured(connections: int, partitions: int, events: int, block_events_max: int) -> int:
    """Return the median rate of three runs."""
    return round(
        median_of(lambda: asyncio.run(committed_per_s(connections, partitions, events, block_events_max)))
    )


def main() -> None:
    """Print the table."""
    quick = options(__doc__).quick
    scale = 100 if quick else 1
    baseline = measured(1, 1, 4_000 // scale, 1)
    cases = [
        (connections, partitions, limits.block_events_max)
        for connections in ((8,) if quick else (1, 32, 128, 512))
        for partitions in ((1, 2) if quick else (1, 2, 4, 8, 16))
    ]
    cases += [(512, 1, size) for size in ((16,) if quick else (1, 16, 100, 500))]
    rows = []
    for connections, partitions, block_events_max in cases:
        events = (4_000 if connections == 1 or block_events_max == 1 else 40_000) // scale
        rate = measured(connections, partitions, events, block_events_max)
        rows.append((connections, partitions, block_events_max, f"{rate:,}", f"{rate / baseline:.1f}"))
    columns = ("connections", "partitions", "events per block ≤", "events/s", "× one by one")
    show(f"Commit; one by one {baseline:,} events/s", columns, rows)


if __name__ == "__main__":
    main()
