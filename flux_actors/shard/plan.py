"""What a shard is told when it opens."""

from __future__ import annotations

from dataclasses import dataclass

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.shard.memory import MemoryPlan
from flux_actors.shard.retention import FOR_EVER, Retention
from flux_actors.tracing.plan import TracePlan


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What an operator asked of shards, and what the log is."""

    snapshots: str  # a folder, or a URL
    partitioning: Partitioning
    history_positions: int = limits.history_positions_max
    memory: MemoryPlan | None = None
    retention: Retention = FOR_EVER  # of one partition
    log_replicas: int = 1
    traces: TracePlan | None = None
    generation: int = 1  # of the log
