"""Phase two: apply what comes, tell the doors, make snapshots on the way."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors.errors import Unavailable
from flux_actors.log.ports import Reader
from flux_actors.shard.acting import Acting, prepared
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
    expirer = Expirer(host.log, host.partition, host.surroundings)
    expirer.begin(host.state)
    try:
        acting = await _begin_when_possible(host)
        if acting is None:
            return
        try:
            await host.publish([host.heartbeat()])
            while not host.draining:
                await _turn(host, reader, snapshotter, expirer, acting)
        finally:
            await acting.close()
    finally:
        await reader.close()
        await expirer.close()


async def _begin_when_possible(host: HostedPartition) -> Acting | None:
    """Begin to act as soon as the bus is there; `None` when draining before."""
    while True:
        try:
            return await Acting.begin(host)
        except Unavailable as error:
            _log.warning("bus.away", partition=host.partition, reason=error.message)
        if host.draining:
            return None
        await asyncio.sleep(_AWAY_S)


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
        if not await prepared(host, blocks):
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
    expirer.step(host.state, host.stored_us)
    await host.relieve()
    await snapshotter.step()
    await asyncio.sleep(0)
