"""Phase three: stop pulling, leave a snapshot of the last state, so that the successor starts fast."""

from __future__ import annotations

from flux_actors.shard.partition import HostedPartition
from flux_actors.shard.snapshotting import Snapshotter


async def drain(host: HostedPartition, snapshotter: Snapshotter) -> None:
    """Write the final snapshot."""
    await snapshotter.finish()
    await host.publish([host.heartbeat()])
