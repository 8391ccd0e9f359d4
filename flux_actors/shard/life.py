"""The life of a hosted partition: recovering, running, draining; stopped when its data lies.

One that is taken over from a living shard follows that one before it runs.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.shard.draining import drain
from flux_actors.shard.following import follow
from flux_actors.shard.partition import HostedPartition, Phase
from flux_actors.shard.recovering import recover
from flux_actors.shard.retention import FOR_EVER, Retention, keep_trimmed
from flux_actors.shard.running import run
from flux_actors.shard.snapshotting import Snapshotter

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 0.2


async def live(host: HostedPartition, partitions: int, retention: Retention = FOR_EVER) -> None:
    """Carry `host` through its phases until it is drained or stopped."""
    trimming: asyncio.Task[None] | None = None
    try:
        await _recover_when_possible(host)
        if not host.draining:
            await follow(host)
        if host.draining:
            return  # half recovered, or never in charge: nothing to read from, nothing to keep
        host.phase = Phase.RUNNING
        host.led.set()
        snapshotter = Snapshotter(host, _stagger_s(host.partition, partitions))
        if retention.bounded:
            trimming = asyncio.create_task(keep_trimmed(host, retention))
        await run(host, snapshotter)
        host.phase = Phase.DRAINING
        host.left.set()
        await drain(host, snapshotter)
    except Corrupt as error:
        host.phase = Phase.STOPPED
        host.error = error.message
        _log.critical("partition.stopped", partition=host.partition, reason=error.message)
    finally:
        host.led.set()
        host.left.set()
        if trimming is not None:
            trimming.cancel()


async def _recover_when_possible(host: HostedPartition) -> None:
    while not host.draining:
        try:
            await recover(host)
        except Unavailable as error:
            _log.warning("partition.recovery_waits", partition=host.partition, reason=error.message)
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _stagger_s(partition: int, partitions: int) -> float:
    """Spread the snapshots of the partitions evenly over the interval."""
    return limits.snapshot_every_s * (1 + partition / max(partitions, 1)) / 2
