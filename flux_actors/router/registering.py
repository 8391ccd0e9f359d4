"""What is noted of a log for as long as it lives: how it is cut, and how much of histories was ever kept."""

from __future__ import annotations

from flux_actors.errors import Refused
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import (
    HISTORY_KEY,
    LOG_KEY,
    PARTITIONS_DEFAULT,
    RESTORING_KEY,
    LogRegistry,
    decode_registry,
    encode,
)


async def register_log(
    store: KeyValue, new_id: str, partitions: int | None, spread: frozenset[str]
) -> LogRegistry:
    """Return the registry of the log, made on the first start.

    The number of partitions that settings name is that of a new log: of one that was repartitioned since it
    says nothing.

    Raises:
        Refused: settings ask for another number of partitions than the log has, or it is not whole.
    """
    if await store.get(RESTORING_KEY) is not None:
        raise Refused("a restore of this log was not finished; begin it again with `flux restore`")
    known = await store.get(LOG_KEY)
    if known is None:
        registry = LogRegistry(new_id, partitions or PARTITIONS_DEFAULT, sorted(spread))
        await store.put(LOG_KEY, encode(registry), expected=0)
        return registry
    registry = decode_registry(known.value)
    if registry.generation == 1 and partitions not in {None, registry.partitions}:
        raise Refused(
            f"this log has {registry.partitions} partitions, not {partitions}; leave --partitions out, start "
            "with another --data folder, or give a running Flux more of them with `flux repartition`"
        )
    return registry


async def note_history(store: KeyValue, positions: int, *, log_is_new: bool) -> None:
    """Keep the lowest number of positions per entity that shards of this log were ever told to keep.

    An entity of which fewer positions are known has all of them. Of a log that is older than this note,
    nobody knows: it counts as one of which none were kept.
    """
    known = await store.get(HISTORY_KEY)
    before = positions if log_is_new else int(known.value) if known is not None else 0
    lowest = min(before, positions)
    if known is None or int(known.value) != lowest:
        await store.put(HISTORY_KEY, b"%d" % lowest)


async def fewest_positions(store: KeyValue, positions: int) -> int:
    """Return that number; `positions` is what shards are told now."""
    known = await store.get(HISTORY_KEY)
    return min(positions, int(known.value) if known is not None else 0)
