"""The digest of a running partition, made beside its loop: a slice, then a turn for everybody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Final

import msgspec

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.partition import HostedPartition
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import DigestWriter, decode_digest, encode_digest

_POLL_S: Final = 0.01


async def digest_of(host: HostedPartition, suspended: Collection[str], wanted: Collection[int]) -> bytes:
    """Return the encoded `Digest` of a partition as it is now.

    Arguments:
        host: the partition.
        suspended: entities to leave out, beside those that wait for an order here.
        wanted: buckets whose entities are told one by one.

    Raises:
        Unavailable: it is not running, or ends before all of it was seen.
    """
    while host.readable().witness is not None:  # noqa: ASYNC110 - whoever cuts tells nobody when it ends
        await asyncio.sleep(_POLL_S)
    state = host.readable()
    cut = Cut(state, host.log_id, lambda header: DigestWriter(header, suspended, wanted))
    try:
        while not (found := _step(cut)):
            await asyncio.sleep(limits.digest_pause_s)
            if not cut.holds or host.state is not state:
                raise Unavailable(f"partition {host.partition} was ended or moved meanwhile; ask again")
    finally:
        cut.abandon()
    return encode_digest(
        msgspec.structs.replace(decode_digest(found), history_positions=host.history_positions)
    )


def _step(cut: Cut) -> bytes:
    """Hash for a millisecond; return the digest when it is done, nothing before."""
    until = time.monotonic() + limits.digest_step_s
    while time.monotonic() < until:
        data = cut.next_slice()
        if data:
            return data
    return b""
