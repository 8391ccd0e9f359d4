"""How many entities namespaces have, asked of their shards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flux_actors.domain.acting.faults import FAULTS_PREFIX
from flux_actors.domain.partitioning import Partitioning
from flux_actors.feed.shard_calls import ShardCalls
from flux_actors.shard.reads import NO_VEIL, Veil


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


async def fault_count(partitioning: Partitioning, shards: ShardCalls, names: frozenset[str]) -> int:
    """Return how many entities mark faults of entities in these namespaces.

    Raises:
        Unavailable: a shard is away.
    """
    if not names:
        return 0
    total, left = await asyncio.gather(
        _faults_before(partitioning, shards, NO_VEIL), _faults_before(partitioning, shards, Veil(names))
    )
    return total - left


async def _faults_before(partitioning: Partitioning, shards: ShardCalls, veil: Veil) -> int:
    partitions = partitioning.of_prefix(FAULTS_PREFIX)
    counts = await asyncio.gather(*(shards.call(p, "count", p, FAULTS_PREFIX, veil) for p in partitions))
    return sum(counts)
