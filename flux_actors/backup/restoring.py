"""Restoring a backup into an empty log: the same blocks at the same sequences, so positions and ETags hold.

A note in the registry says that a restore is under way; Flux does not start on such a log. The stores come
last, the note goes when all is there.

At an earlier time, the logs end there. What is deployed then follows from them: else the router would bring
the newest catalogue of the backup into logs that never had it.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.backup import stored
from flux_actors.backup.archive import checked, checked_chunks
from flux_actors.backup.cutting import Cut, blocks_of, cut
from flux_actors.backup.manifest import KeptSnapshot, Manifest
from flux_actors.behaviour.code_store import CodeStore
from flux_actors.behaviour.deployer import CATALOGUE_BUCKET, CATALOGUE_KEY, encode_catalogue
from flux_actors.behaviour.reducer_code import catalogues_in
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.log.block import clock_of
from flux_actors.log.ports import Rebuilder, StoredBlock, Stores
from flux_actors.places.place import Place
from flux_actors.reporting import Reporter, Say
from flux_actors.router.topology import REGISTRY_BUCKET, RESTORING_KEY
from flux_actors.snapshot.codec import read_header
from flux_actors.snapshot.store import SnapshotStore

_MIB: Final = limits.MIB


class Target(NamedTuple):
    """What is filled; all of it is empty."""

    log: Rebuilder
    snapshots: SnapshotStore
    stores: Stores
    code: CodeStore


class Restored(NamedTuple):
    """What was restored."""

    began_us: int  # when the backup was taken
    blocks: int
    ends: list[int]  # the last block of each partition
    clock_us: int  # the newest of the partitions' clocks


async def restore(place: Place, manifest: Manifest, target: Target, at_us: int | None, say: Say) -> Restored:
    """Restore a backup, up to a time of the log's clock in microseconds if one is given.

    `say` hears how far it is.

    Raises:
        Refused: 410, the backup does not reach back so far; 409, the target is not empty.
        Corrupt: a file of the backup is damaged.
        Unavailable: backup or target cannot be reached; empty the target and begin again.
    """
    cuts = [await cut(place, part, at_us) for part in manifest.parts]
    registry = await target.stores.open(REGISTRY_BUCKET)
    await registry.put(RESTORING_KEY, manifest.name.encode())
    filler = _Filler(place, manifest.log_id, target, Reporter(say))
    for one in cuts:
        await filler.fill_partition(one)
    for facts in manifest.code:
        await target.code.put(facts.name.rpartition("/")[2], await asyncio.to_thread(checked, place, facts))
    values = stored.decode(await asyncio.to_thread(checked, place, manifest.stores))
    if not all(one.whole for one in cuts):
        values = _deployed(values, filler.catalogue)
    await stored.fill(target.stores, values)
    await registry.delete(RESTORING_KEY)
    return Restored(manifest.began_us, filler.blocks, [one.last for one in cuts], filler.clock_us)


class _Filler:
    """Fills partitions, and notes what was deployed in them."""

    def __init__(self, place: Place, log_id: str, target: Target, report: Reporter) -> None:
        self._place = place
        self._log_id = log_id
        self._target = target
        self._report = report
        self.catalogue = Catalogue()
        self.blocks = 0
        self.clock_us = 0

    async def fill_partition(self, one: Cut) -> None:
        """Make the log of a partition and copy its snapshots."""
        part = one.part
        await self._target.log.make(part.partition, part.first, self._log_id)
        size = 0
        for segment in one.segments:
            blocks = (await blocks_of(self._place, part, segment))[: one.last - segment.first + 1]
            self._note([StoredBlock(n, data, 0) for n, data in enumerate(blocks, segment.first)])
            await self._target.log.append(part.partition, segment.first, blocks)
            size += sum(map(len, blocks))
            at = min(segment.last, one.last)
            self._report.progress(
                f"partition {part.partition}: block {at} of {one.last}, {size / _MIB:.0f} MiB"
            )
        self.blocks += max(0, one.last - part.first + 1)
        for snapshot in reversed(one.snapshots):
            await asyncio.to_thread(self._copy, part.partition, snapshot)

    def _copy(self, partition: int, snapshot: KeptSnapshot) -> None:
        sink = self._target.snapshots.begin(partition, snapshot.sequence)
        try:
            for chunk in checked_chunks(self._place, snapshot.file):
                sink.write(chunk)
            sink.commit()
        except BaseException:
            sink.abort()
            raise
        header = read_header(self._place.read(snapshot.file.name))
        if header.behaviours is not None:
            self._take(header.behaviours.catalogue)

    def _note(self, blocks: list[StoredBlock]) -> None:
        self.clock_us = max([self.clock_us, *(clock_of(block.data) or 0 for block in blocks)])
        for catalogue in catalogues_in(blocks):
            self._take(catalogue)

    def _take(self, catalogue: Catalogue) -> None:
        if catalogue.revision > self.catalogue.revision:
            self.catalogue = catalogue


def _deployed(values: stored.Dump, catalogue: Catalogue) -> stored.Dump:
    """Return the stores with what is deployed as the logs have it."""
    others = [one for one in values.get(CATALOGUE_BUCKET, []) if one.key != CATALOGUE_KEY]
    if catalogue.revision:
        others.append(stored.Value(CATALOGUE_KEY, encode_catalogue(catalogue), 0))
    return values | {CATALOGUE_BUCKET: others}
