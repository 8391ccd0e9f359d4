"""When a history has come to rest: everything is up and has applied all of the log, and nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from flux_actors.log.generations import stream_name
from flux_actors.router.topology import TOPOLOGY_BUCKET, TOPOLOGY_KEY, decode_topology
from flux_actors.shard.partition import HostedPartition, Phase
from tests.simulation.cluster import Shard
from tests.simulation.truth import rows_of
from tests.simulation.watching import Watching
from tests.simulation.world import World

SETTLE_S: Final = 90.0
_LOOK_S: Final = 0.2


async def settled(world: World, watchings: list[Watching]) -> list[str]:
    """Return when nothing moves any more; or what still does after a while."""
    left: list[str] = []
    until_s = world.loop.time() + SETTLE_S
    while world.loop.time() < until_s:
        left = [*_unsettled(world), *(f"{one.name} waits" for one in watchings if not one.is_settled)]
        if not left:
            return []
        await asyncio.sleep(_LOOK_S)
    return left


def hosts_of(shard: Shard) -> dict[int, HostedPartition]:
    """Return the partitions that a shard has, whatever it tells of them."""
    return shard.shard._hosts  # noqa: SLF001 - what is judged here is not asked


def _unsettled(world: World) -> Iterator[str]:
    if len(world.doors) < world.plan.doors:
        yield "doors are missing"
    versions = world.server.bucket(TOPOLOGY_BUCKET).versions(TOPOLOGY_KEY)
    owners = decode_topology(versions[-1]).owners
    for partition in world.rule.all():
        owner = owners[partition]
        shard = world.cluster.shards.get(owner.shard) if owner is not None else None
        host = None if shard is None or not shard.process.lives else hosts_of(shard).get(partition)
        if shard is None or host is None:
            yield f"nobody has partition {partition}"
        else:
            yield from _moves(world, shard, host)
    yield from _deaf(world)


def _moves(world: World, shard: Shard, host: HostedPartition) -> Iterator[str]:
    """Say what a partition still has to do."""
    last = world.server.streams[stream_name(host.partition)].last
    what = f"{shard.name} has partition {host.partition}"
    if host.phase is not Phase.RUNNING:
        yield f"{what} {host.phase} ({host.error})"
    elif host.state.sequence != last:
        yield f"{what} at {host.state.sequence} of {last}"
    elif host.state.acting.outbox.messages:
        yield f"{what} with messages that wait"
    elif any(row.leases for row in rows_of(host.state)):
        yield f"{what} with leases that run"


def _deaf(world: World) -> Iterator[str]:
    """Say which doors have not heard of everything."""
    for door in world.living_doors():
        for part in door.parts:
            last = world.server.streams[stream_name(part.partition)].last
            if part.sequence != last or part.repairing:
                place = f"partition {part.partition} up to {part.sequence}"
                yield f"{door.process.name} heard of {place}, not {last}"
