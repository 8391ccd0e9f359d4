"""Phase two: apply what comes, tell the doors, make snapshots on the way."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors.errors import Unavailable
from flux_actors.log.ports import Reader, StoredBlock
from flux_actors.shard.acting import Acting, prepare
from flux_actors.shard.expiring import Expirer
from flux_actors.shard.partition import HostedPartition
from flux_actors.shard.snapshotting import Snapshotter

_log = structlog.get_logger(__name__)
_BUSY_PULL_S: Final = 0.001  # a cut is under way: do not wait long between two slices
_AWAY_S: Final = 0.2


async def run(host: HostedPartition, snapshotter: Snapshotter) -> None:
    """Live until `host.draining`.

    Raises:
        Corrupt: the log contradicts itself.
    """
    reader = host.log.reader(host.partition, host.state.sequence)
    expirer = Expirer(host.log, host.partition)
    try:
        acting = await Acting.begin(host)
        try:
            await host.publish([host.heartbeat()])
            while not host.draining:
                await _turn(host, reader, snapshotter, expirer, acting)
        finally:
            await acting.close()
    finally:
        await reader.close()
        await expirer.close()


async def _turn(
    host: HostedPartition, reader: Reader, snapshotter: Snapshotter, expirer: Expirer, acting: Acting
) -> None:
    """Pull once, apply, feed, have ended what is due, and write one slice of a snapshot."""
    try:
        blocks = await reader.pull(_BUSY_PULL_S if snapshotter.encoding else expirer.wait_s(host.state))
    except Unavailable as error:
        _log.warning("log.away", partition=host.partition, reason=error.message)
        await asyncio.sleep(_AWAY_S)
        return
    if blocks:
        if not await _prepared(host, blocks):
            return
        tracer = host.tracer
        if tracer is not None:
            tracer.begin(host, blocks)
        messages = host.apply(blocks, feed=True)
        acting.applied()
        await host.publish(messages)
        if tracer is not None:
            tracer.end(host)
    elif not snapshotter.encoding:
        host.pending = 0
        await host.publish([host.heartbeat()])
    await acting.mend()
    expirer.step(host.state)
    await host.relieve()
    await snapshotter.step()
    await asyncio.sleep(0)


async def _prepared(host: HostedPartition, blocks: list[StoredBlock]) -> bool:
    """Have at hand what the fold needs of these blocks, however long it takes; `False` when draining."""
    while not host.draining:
        try:
            await prepare(host, blocks)
        except Unavailable as error:
            _log.warning("behaviours.away", partition=host.partition, reason=error.message)
            await asyncio.sleep(_AWAY_S)
        else:
            return True
    return False
