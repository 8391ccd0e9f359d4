"""A partition whose entities leave memory whenever a test says so."""

from __future__ import annotations

from flux_actors.domain.fold import PartitionState
from flux_actors.shard.cold import MemoryColdStore
from flux_actors.shard.passivating import Passivator


def cooling_state() -> tuple[PartitionState, Passivator]:
    """Return an empty state and what makes its entities cold."""
    state = PartitionState(0)
    return state, Passivator(state, MemoryColdStore())


def cool(passivator: Passivator, count: int = 1_000) -> None:
    """Have up to `count` entities leave, in the order of the clock."""
    hot = passivator.hot
    while hot - passivator.hot < count and passivator.evict():
        pass
