"""What a router is started with."""

from __future__ import annotations

from dataclasses import dataclass, field

from flux_actors import limits
from flux_actors.shard.memory import MemoryPlan
from flux_actors.shard.retention import FOR_EVER, Retention
from flux_actors.tracing.plan import TracePlan


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """What an operator asked of a router; what concerns the log counts when the log is created."""

    owner: str  # whose Flux this is, in words: one Ray cluster serves one Flux
    snapshots: str  # a folder, or a URL
    shards: int
    partitions: int | None
    spread: frozenset[str]
    log_replicas: int
    history_positions: int = limits.history_positions_max
    memory: MemoryPlan | None = None
    retention: Retention = FOR_EVER
    auth_enabled: bool = False  # then some namespaces may be hidden from the directory
    admin_token: str | None = field(default=None, repr=False)  # whoever has it may deploy behaviours
    traces: TracePlan | None = None  # of events, in shards
    made_us: int = 0  # when, where a newer plan replaces an older one
