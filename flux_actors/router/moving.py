"""Moving one partition from a living shard to another.

The new owner first folds the partition beside the old one, which goes on as if nothing were. When it has
come near, the old one lets go, and the new one leads as soon as it has applied what that had. In between
nobody answers for the partition: some milliseconds, whatever its size. Writes do not ask shards at all.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import structlog

from flux_actors.errors import Unavailable
from flux_actors.router.shard_host import ShardGone, ShardHost
from flux_actors.shard.partition import PartitionStatus, Phase

_log = structlog.get_logger(__name__)
_STATUS_S: Final = 2.0
_MISSES_MAX: Final = 5  # status calls that a busy shard may leave unanswered
_LOOK_S: Final = 0.05
_NEAR_BLOCKS: Final = 64  # behind the old owner: a pull


class Move(NamedTuple):
    """A partition on its way."""

    partition: int
    source: str
    target: str
    epoch: int


async def come_near(host: ShardHost, move: Move) -> None:
    """Have the target follow, and return when it is near the source.

    Raises:
        ShardGone, TimeoutError, Unavailable: it cannot.
    """
    await host.follow(move.target, move.partition, move.epoch)
    while not await _is_near(host, move):  # noqa: ASYNC110 - it is asked, never told
        await asyncio.sleep(_LOOK_S)


async def hand_over(host: ShardHost, move: Move) -> None:
    """Have the source let go and the target lead; a source that is gone has let go.

    Raises:
        ShardGone, TimeoutError, Unavailable: the target does not lead, or that is not known.
    """
    after = 0
    try:
        after = await host.release(move.source, move.partition)
    except ShardGone:
        _log.warning("partition.left_by_a_dead_shard", partition=move.partition, shard=move.source)
    await host.lead(move.target, move.partition, move.epoch, after)


async def _is_near(host: ShardHost, move: Move) -> bool:
    target = await _status(host, move.target, move.partition)
    if target is None:
        raise Unavailable(f"{move.target} does not host partition {move.partition}")
    if target.phase == Phase.STOPPED:
        raise Unavailable(f"{move.target} cannot read partition {move.partition}: {target.error}")
    if target.phase != Phase.FOLLOWING:
        return False
    source = await _status(host, move.source, move.partition)
    return source is None or source.sequence - target.sequence <= _NEAR_BLOCKS


async def _status(host: ShardHost, name: str, partition: int) -> PartitionStatus | None:
    misses = 0
    while True:
        try:
            rows = await host.status(name, _STATUS_S)
        except TimeoutError:
            misses += 1
            if misses == _MISSES_MAX:
                raise
        else:
            return next((row for row in rows if row.partition == partition), None)
