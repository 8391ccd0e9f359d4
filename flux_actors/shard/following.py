"""Between phases one and two, when a partition moves: be as far as who leads it, and say nothing.

Shards read the log and do not write it, so two can fold the same partition. The one that is to take over
does so beside the one that leads, for as long as it takes to come to the log's end. Then the other lets go,
and this one leads within moments, whatever the partition's size.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors.errors import Unavailable
from flux_actors.shard.acting import prepare
from flux_actors.shard.partition import HostedPartition, Phase

_log = structlog.get_logger(__name__)
_PULL_S: Final = 0.02  # between two looks whether to lead
_AWAY_S: Final = 0.2


async def follow(host: HostedPartition) -> None:
    """Apply what comes until `host.leads`, or until it is draining; messages go into the ring alone.

    Raises:
        Corrupt: the log contradicts itself.
    """
    if host.leads.is_set():
        return
    host.phase = Phase.FOLLOWING
    reader = host.log.reader(host.partition, host.state.sequence)
    try:
        while not (host.leads.is_set() or host.draining):
            try:
                blocks = await reader.pull(_PULL_S)
                if blocks:
                    await prepare(host, blocks)
                    host.apply(blocks, feed=True)
            except Unavailable as error:
                _log.warning("log.away", partition=host.partition, reason=error.message)
                await asyncio.sleep(_AWAY_S)
                continue
            if not blocks:
                host.pending = 0
            await host.relieve()
            await asyncio.sleep(0)
    finally:
        await reader.close()
