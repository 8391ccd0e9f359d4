"""Phase one: become what the log says.

The newest snapshot that verifies, else the one before, else nothing; then the log behind it. What
contradicts itself stops the partition with a clear error: a snapshot of another log, a log that begins
behind the snapshot's end (events in between are gone) or that ends before it (the log lost its end).
No feed goes out and no effect happens; the ring takes the last messages, so that doors which were
watching the shard before this one can close their gap.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.ports import LogBounds, StoredBlock
from flux_actors.shard.acting import prepare
from flux_actors.shard.partition import HostedPartition
from flux_actors.snapshot.codec import Header, read_snapshot, verify_snapshot

_log = structlog.get_logger(__name__)
_RING_BLOCKS: Final = 2_000  # near the end of the log, messages are made for the ring, if it can keep them
_PULL_S: Final = 1.0


async def recover(host: HostedPartition) -> None:
    """Bring `host` to the end of the log as it is now.

    Raises:
        Corrupt: snapshot and log contradict each other.
        Unavailable: the log or the snapshots cannot be read now; recover again.
    """
    started = host.surroundings.steady_s()
    scheduled = gc.isenabled()
    # Millions of young objects that all stay: the collector would walk them again and again for nothing.
    gc.disable()
    try:
        await _recover(host)
    finally:
        gc.freeze()
        if scheduled:
            gc.enable()
    host.counts.recovered(host.surroundings.steady_s() - started)
    _log.info(
        "partition.recovered",
        partition=host.partition,
        epoch=host.epoch,
        snapshot=host.snapshot_sequence,
        sequence=host.state.sequence,
        entities=host.state.alive,
        seconds=round(host.counts.recovery_s, 3),
    )


async def _recover(host: HostedPartition) -> None:
    bounds = await host.log.bounds(host.partition)
    host.log_id = bounds.log_id
    if host.leads.is_set():  # else another shard may be writing one
        await asyncio.to_thread(host.store.sweep, host.partition)
    kept = await _kept(host)
    try:
        await _become_newest(host, bounds, kept)
    except Corrupt as error:
        if kept != await _kept(
            host
        ):  # of another shard, which leads, or does not know that it leads no longer
            raise Unavailable(f"the partition went on while it was read: {error.message}") from error
        raise


async def _become_newest(host: HostedPartition, bounds: LogBounds, kept: list[int]) -> None:
    host.become(await _newest_state(host, bounds, kept))
    if host.equipment is not None:
        await host.equipment.reducer_code.prepare(host.state.acting.catalogue)
    host.snapshot_sequence = host.state.sequence
    bounds = await host.log.bounds(host.partition)  # by now: the snapshot may be newer than the last look
    _check_bounds(host, bounds)
    await _replay(host, bounds.last)


async def _kept(host: HostedPartition) -> list[int]:
    return await asyncio.to_thread(host.store.sequences, host.partition)


async def _newest_state(host: HostedPartition, bounds: LogBounds, kept: list[int]) -> PartitionState:
    for sequence in kept:
        state = host.empty_state()
        try:
            header = await asyncio.to_thread(_read, host, sequence, state)
        except Corrupt as error:
            _log.error(
                "snapshot.passed_over", partition=host.partition, sequence=sequence, reason=error.message
            )
            continue
        if header.log_id != bounds.log_id or header.partition != host.partition:
            raise Corrupt(
                f"the snapshots of partition {host.partition} belong to another log; "
                "give Flux the log they were made from, or an empty snapshot folder"
            )
        return state
    state = host.empty_state()
    state.sequence = bounds.origin - 1
    return state


def _read(host: HostedPartition, sequence: int, state: PartitionState) -> Header:
    verify_snapshot(host.store.read(host.partition, sequence))
    header, _ = read_snapshot(host.store.read(host.partition, sequence), state)
    return header


def _check_bounds(host: HostedPartition, bounds: LogBounds) -> None:
    sequence = host.state.sequence
    if bounds.last < sequence:
        raise Corrupt(
            f"partition {host.partition}'s log ends at {bounds.last}, before its snapshot at {sequence}: "
            "it lost acknowledged events; restore the log"
        )
    if bounds.first > sequence + 1:
        raise Corrupt(
            f"the log of partition {host.partition} begins at {bounds.first}, but the newest usable snapshot "
            f"ends at {sequence}: the events between are gone; restore a snapshot"
        )


async def _replay(host: HostedPartition, until: int) -> None:
    reader = host.log.reader(host.partition, host.state.sequence)
    try:
        while host.state.sequence < until and not host.draining:
            blocks = await reader.pull(_PULL_S)
            if blocks:
                await prepare(host, blocks)
                host.apply(blocks, feed=_fits_the_ring(blocks))
                await asyncio.sleep(0)
                await host.relieve()
    finally:
        await reader.close()


def _fits_the_ring(blocks: list[StoredBlock]) -> bool:
    """Whether the ring will still hold the messages of these blocks at the log's end, if they go on so.

    A message is about half of its block; making those that will be gone again would be a sixth of a replay.
    """
    block_bytes = sum(len(block.data) for block in blocks) / len(blocks)
    pending = blocks[-1].pending
    return pending <= _RING_BLOCKS and pending * block_bytes / 2 <= limits.feed_ring_bytes_max
