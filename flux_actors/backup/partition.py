"""The part of a backup that is one partition: snapshots, and the blocks that no earlier backup has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from flux_actors import limits
from flux_actors.backup.archive import Archive
from flux_actors.backup.manifest import KeptSnapshot, Part, Segment, checksum_of
from flux_actors.backup.segments import encode_segment
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import clock_of
from flux_actors.log.ports import EventLog, LogBounds, Reader, StoredBlock
from flux_actors.reporting import Reporter
from flux_actors.snapshot.codec import read_header, verify_snapshot
from flux_actors.snapshot.store import SnapshotStore

_PULL_S: Final = 1.0
_RETRY_S: Final = 0.5
_NAME_CHARS: Final = 16
_CONFLICT: Final = 409
_MIB: Final = limits.MIB


class PartitionSaver:
    """Saves one partition."""

    def __init__(
        self, log: EventLog, snapshots: SnapshotStore, archive: Archive, partition: int, report: Reporter
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._archive = archive
        self._partition = partition
        self._report = report

    async def save(self, bounds: LogBounds, snapshots: list[int], before: Part | None) -> Part:
        """Save up to the end of `bounds`; raises as `take`."""
        before = await self._continued(bounds, before)
        known = before.snapshots if before is not None else []
        kept = await self._save_snapshots([s for s in snapshots if s <= bounds.last], known, bounds.log_id)
        if before is not None:
            first, segments, last_block = before.first, list(before.segments), before.last_block
        else:
            first, segments, last_block = (await self._log.bounds(self._partition)).first, [], ""
            first = min(first, bounds.last + 1)
        after = before.last if before is not None else first - 1
        async for segment, ending in self._save_blocks(after, bounds.last, segments):
            segments.append(segment)
            last_block = ending
        origin = bounds.origin
        needed = _needed(kept, first, is_whole=first == origin)
        part = Part(self._partition, first, bounds.last, last_block, segments, needed, origin)
        self._check_base(part)
        return part

    async def _continued(self, bounds: LogBounds, before: Part | None) -> Part | None:
        """Return what earlier backups have if this log goes on behind it, `None` if it begins later.

        Raises:
            Refused: the log has other blocks where they have theirs.
        """
        if before is None or bounds.first > before.last + 1:
            return None
        if bounds.last >= before.last:
            if before.last < bounds.first:
                return before  # what they end with was trimmed, or they have nothing
            data = await self._log.block(self._partition, before.last)
            if checksum_of(data) == before.last_block:
                return before
        raise Refused(
            f"partition {self._partition} has another course than the backups at that place: it was restored "
            "to an earlier time, or lost its end; choose another place for its backups",
            _CONFLICT,
        )

    async def _save_snapshots(
        self, sequences: list[int], known: list[KeptSnapshot], log_id: str
    ) -> list[KeptSnapshot]:
        """Copy the snapshots that are not there yet; one that is gone or damaged is left out."""
        found = {snapshot.sequence: snapshot for snapshot in known}
        for sequence in sequences:
            if sequence in found:
                continue
            try:
                found[sequence] = await self._save_snapshot(sequence, log_id)
            except Corrupt as error:
                self._report.say(
                    f"snapshot {sequence} of partition {self._partition} left out: {error.message}"
                )
        return [found[sequence] for sequence in sorted(found, reverse=True)]

    async def _save_snapshot(self, sequence: int, log_id: str) -> KeptSnapshot:
        header = await asyncio.to_thread(lambda: read_header(self._read(sequence)))
        if (header.log_id, header.partition, header.sequence) != (log_id, self._partition, sequence):
            raise Corrupt("it belongs to another log")
        self._report.progress(f"partition {self._partition}: snapshot {sequence}")
        name = f"snapshots/{self._partition}/{sequence:020}-{header.clock_us}.flux"
        facts = await self._archive.copy(name, lambda: self._read(sequence), verify_snapshot)
        return KeptSnapshot(facts, sequence, header.clock_us)

    def _read(self, sequence: int) -> Iterator[bytes]:
        return self._snapshots.read(self._partition, sequence)

    async def _save_blocks(
        self, after: int, last: int, segments: list[Segment]
    ) -> AsyncIterator[tuple[Segment, str]]:
        """Yield each file of blocks, and the checksum of its last block."""
        clock_us = segments[-1].clock_us if segments else 0
        async for blocks in self._runs(after, last):
            clock_us = max([clock_us, *(clock_of(block.data) or 0 for block in blocks)])
            first, end = blocks[0].sequence, blocks[-1].sequence
            data = await asyncio.to_thread(
                encode_segment, self._partition, first, [block.data for block in blocks]
            )
            name = f"{first:020}-{end:020}-{checksum_of(data)[:_NAME_CHARS]}.blocks"
            facts = await self._archive.keep(f"log/{self._partition}/{name}", data)
            yield Segment(facts, first, end, clock_us), checksum_of(blocks[-1].data)

    async def _runs(self, after: int, last: int) -> AsyncIterator[list[StoredBlock]]:
        """Yield the blocks behind `after` up to `last`, as many at a time as go into one file."""
        reader = self._log.reader(self._partition, after)
        run: list[StoredBlock] = []
        size = saved = 0
        try:
            while after < last:
                for block in await self._pull(reader, after):
                    if block.sequence > last:
                        break
                    after = block.sequence
                    run.append(block)
                    size += len(block.data)
                    if size >= limits.backup_segment_bytes:
                        yield run
                        run, size, saved = [], 0, saved + size
                self._report.progress(
                    f"partition {self._partition}: block {after} of {last}, {(saved + size) / _MIB:.0f} MiB"
                )
            if run:
                yield run
        finally:
            await reader.close()

    async def _pull(self, reader: Reader, after: int) -> list[StoredBlock]:
        deadline = time.monotonic() + limits.backup_patience_s
        while True:
            try:
                return await reader.pull(_PULL_S)
            except Unavailable:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_S)
            except Corrupt:
                if (await self._log.bounds(self._partition)).first <= after + 1:
                    raise
                raise Unavailable(
                    f"the log of partition {self._partition} was trimmed while it was read; take the backup "
                    "again"
                ) from None

    def _check_base(self, part: Part) -> None:
        """Raise `Unavailable` when nothing says what was in front of the blocks."""
        if not part.is_whole and not part.snapshots:
            raise Unavailable(
                f"the log of partition {self._partition} begins at {part.first}, and no snapshot was found "
                "that reaches it; say where the snapshots are (FLUX_SNAPSHOTS), or take the backup again"
            )


def _needed(snapshots: list[KeptSnapshot], first: int, *, is_whole: bool) -> list[KeptSnapshot]:
    """Return the newest snapshots behind which the blocks go on, and the oldest one if some are missing."""
    usable = [snapshot for snapshot in snapshots if snapshot.sequence >= first - 1]
    newest = usable[: limits.snapshots_kept]
    return newest if is_whole else newest + usable[limits.snapshots_kept :][-1:]
