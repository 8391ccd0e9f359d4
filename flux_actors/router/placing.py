"""Which shard hosts which partition: a pure function of weights, owners and shards.

Partitions without a living owner go to the lightest shard, the heaviest first. Then, while the loads are
clearly uneven, the heaviest shard gives a partition to the lightest one. A move must be worth what it
carries, so nothing moves that need not: a shard that goes is only taken from, and what is even stays.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

Shard = TypeVar("Shard", bound=Hashable)
_UNEVEN: Final = 0.1  # of an average shard's load: what the heaviest may carry more than the lightest
_WORTH: Final = 0.5  # of the weight that moves must be gained
_BY_NUMBER: Final = 0.2  # of the weight is the same for all: idle partitions are spread as well


class Load(NamedTuple):
    """What a partition asks of its shard."""

    events_per_s: float
    entities: int


def weights(loads: Sequence[Load]) -> list[float]:
    """Return the share of each partition in all work: half by its events, half by what it keeps."""
    events = sum(load.events_per_s for load in loads)
    entities = sum(load.entities for load in loads)
    parts = [
        (load.events_per_s / events if events else 0.0) + (load.entities / entities if entities else 0.0)
        for load in loads
    ]
    return [_BY_NUMBER / len(loads) + part / 2 for part in parts]


def placed(weighed: Sequence[float], owners: Sequence[Shard | None], shards: Sequence[Shard]) -> list[Shard]:
    """Return the shard of each partition.

    Arguments:
        weighed: each partition's weight, greater than zero.
        owners: who hosts it now; one that is not in `shards` no longer counts.
        shards: who may host, one at least.
    """
    homes = dict(enumerate(housed(weighed, owners, shards)))
    loads = _loads(weighed, homes, shards)
    uneven = _UNEVEN * sum(weighed) / len(shards)
    while (move := _best_move(weighed, homes, loads, uneven)) is not None:
        partition, target = move
        loads[homes[partition]] -= weighed[partition]
        loads[target] += weighed[partition]
        homes[partition] = target
    return [homes[partition] for partition in range(len(owners))]


def housed(weighed: Sequence[float], owners: Sequence[Shard | None], shards: Sequence[Shard]) -> list[Shard]:
    """Return the shard of each partition when those that have one of `shards` stay where they are."""
    homes = {p: owner for p, owner in enumerate(owners) if owner is not None and owner in shards}
    loads = _loads(weighed, homes, shards)
    for partition in sorted(set(range(len(owners))) - homes.keys(), key=lambda p: (-weighed[p], p)):
        lightest = min(shards, key=loads.__getitem__)
        homes[partition] = lightest
        loads[lightest] += weighed[partition]
    return [homes[partition] for partition in range(len(owners))]


def _loads(
    weighed: Sequence[float], homes: Mapping[int, Shard], shards: Sequence[Shard]
) -> dict[Shard, float]:
    loads = dict.fromkeys(shards, 0.0)
    for partition, shard in homes.items():
        loads[shard] += weighed[partition]
    return loads


def _best_move(
    weighed: Sequence[float], homes: Mapping[int, Shard], loads: Mapping[Shard, float], uneven: float
) -> tuple[int, Shard] | None:
    """Return the move that evens the heaviest and the lightest shard best, `None` if none is worth it."""
    heaviest = max(loads, key=loads.__getitem__)
    lightest = min(loads, key=loads.__getitem__)
    gap = loads[heaviest] - loads[lightest]
    if gap <= uneven:
        return None

    def gain(partition: int) -> float:
        return gap - abs(gap - 2 * weighed[partition])  # most when half of the gap changes sides

    movable = [p for p, home in homes.items() if home == heaviest and gain(p) > _WORTH * weighed[p]]
    if not movable:
        return None
    return max(movable, key=lambda p: (gain(p), -weighed[p], -p)), lightest
