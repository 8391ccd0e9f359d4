"""How fast a shard reads blocks back: by blocks per pull and events per block.

Baseline: one block per pull. Every run must return each block once, in order, with all its events.
"""

from __future__ import annotations

import asyncio
import time

from flux_actors.log.block import decode_block, encode_block
from flux_actors.log.jetstream import JetStreamLog
from flux_bench.log_lab import embedded_log, median_of, options, show
from flux_bench.sample import sample_event

_TIMEOUT_S = 5.0


async def rates(blocks: int, events_per_block: int, pulls: tuple[int, ...]) -> list[float]:
    """Return blocks per second for each size of a pull, all from one log."""
    async with embedded_log(1) as (_, log):
        encoded = [sample_event(number) for number in range(events_per_block)]
        for number in range(1, blocks + 1):
            await log.append(0, encode_block(1, number, number, encoded), f"1-{number}", _TIMEOUT_S)
        found = []
        for pull_blocks in pulls:
            samples = [await blocks_per_s(log, blocks, events_per_block, pull_blocks) for _ in range(3)]
            found.append(median_of(iter(samples).__next__))
        return found


async def blocks_per_s(log: JetStreamLog, blocks: int, events_per_block: int, pull_blocks: int) -> float:
    """Read the whole log once, decoding as a shard does."""
    reader = log.reader(0, after=0, pull_blocks=pull_blocks)
    expected = 1
    started = time.perf_counter()
    while expected <= blocks:
        for block in await reader.pull(_TIMEOUT_S):
            assert block.sequence == expected
            assert len(decode_block(block.data).events) == events_per_block
            expected += 1
    seconds = time.perf_counter() - started
    await reader.close()
    return blocks / seconds


def main() -> None:
    """Print the table."""
    quick = options(__doc__).quick
    pulls = (1, 4) if quick else (1, 4, 16, 32, 64, 256)
    rows = []
    for events_per_block, blocks in ((1, 50),) if quick else ((1, 5_000), (100, 2_000), (2_000, 200)):
        found = asyncio.run(rates(blocks, events_per_block, pulls))
        for pull_blocks, rate in zip(pulls, found, strict=True):
            ratio = f"{rate / found[0]:.1f}"
            rows.append(
                (events_per_block, pull_blocks, f"{rate:,.0f}", f"{rate * events_per_block:,.0f}", ratio)
            )
    columns = ("events per block", "blocks per pull", "blocks/s", "events/s", "× one by one")
    show("Reading the log", columns, rows)


if __name__ == "__main__":
    main()
