"""How many entities namespaces have, asked of their shards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flux_actors.domain.partitioning import Partitioning
from flux_actors.feed.shard_calls import ShardCalls


async def entity_counts(
    partitioning: Partitioning, shards: ShardCalls, names: Sequence[str]
) -> dict[str, int]:
    """Return how many living entities each namespace has, one call per partition that may hold some.

    Raises:
        Unavailable: a shard is away.
    """
    by_partition: dict[int, list[str]] = {}
    for name in names:
        for partition in partitioning.of_namespace(name):
            by_partition.setdefault(partition, []).append(name)
    calls = [shards.call(p, "entity_counts", p, wanted) for p, wanted in by_partition.items()]
    counts = dict.fromkeys(names, 0)
    for wanted, found in zip(by_partition.values(), await asyncio.gather(*calls), strict=True):
        for name, count in zip(wanted, found, strict=True):
            counts[name] += count
    return counts
