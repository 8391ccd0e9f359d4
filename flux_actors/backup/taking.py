"""Taking a backup of a log that lives.

Where each partition ends is looked at first (`ends.py`), and that is as far as the backup goes. Then its
snapshots are copied (before the blocks: a log that is trimmed meanwhile goes on behind the newest of
them), then the blocks behind those that an earlier backup has. Stores and code come last: all that the log
names is in them by then. If they name another log, this one was repartitioned meanwhile, and there is no
backup: its blocks and what the stores say would not belong together. Every new file is read back, and at
last the manifest makes a backup of it.

What was written when a run is interrupted serves the next one: a file's name says what is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Final, NamedTuple

from flux_actors.backup import stored
from flux_actors.backup.archive import Archive
from flux_actors.backup.ends import ends_of
from flux_actors.backup.manifest import FORMAT, FileFacts, Manifest, Part, checksum_of, newest, write
from flux_actors.backup.partition import PartitionSaver
from flux_actors.behaviour.code_store import CodeStore
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.ports import EventLog, Stores
from flux_actors.places.place import Place
from flux_actors.reporting import Reporter, Say
from flux_actors.router.topology import LOG_KEY, REGISTRY_BUCKET, LogRegistry, decode_registry
from flux_actors.snapshot.store import SnapshotStore

_PACKAGE: Final = "flux-actors"
_NAME_CHARS: Final = 32  # of a checksum, in a name


class Source(NamedTuple):
    """What is backed up."""

    registry: LogRegistry
    log: EventLog
    snapshots: SnapshotStore
    stores: Stores
    code: CodeStore


async def take(source: Source, place: Place, say: Say, now_us: Callable[[], int]) -> Manifest:
    """Take a backup and return its manifest; `say` hears how far it is.

    Raises:
        Refused: 409, the place has backups of another log, or of another course of this one.
        Unavailable: log or place cannot be reached; take it again, which goes on where this one stopped.
            Or the log was repartitioned meanwhile.
        Corrupt: what was written is not what is read back, or the newest manifest is damaged.
    """
    report, registry = Reporter(say), source.registry
    before = await asyncio.to_thread(newest, place)
    if before is not None and before.log_id != registry.log_id:
        raise Refused("the backups at that place are of another log; choose another place", 409)
    began_us = max(now_us(), before.began_us + 1 if before is not None else 0)
    archive = Archive(place)
    try:
        parts = await _save_parts(source, before, archive, report)
    except Corrupt as error:
        if await registry_of(source.stores) == registry:
            raise
        raise _replaced() from error  # the log that was read has been removed
    stores = await stored.dump(source.stores)
    _check_registry(stores, registry)
    store_file = await archive.keep(f"stores/{checksum_of(stores)[:_NAME_CHARS]}.json", stores)
    code = await _save_code(source.code, archive, report)
    await archive.check(report)
    manifest = Manifest(
        FORMAT,
        version(_PACKAGE),
        registry.log_id,
        began_us,
        now_us(),
        parts,
        store_file,
        code,
        registry.generation,
    )
    await asyncio.to_thread(write, place, manifest)
    return manifest


async def _save_parts(
    source: Source, before: Manifest | None, archive: Archive, report: Reporter
) -> list[Part]:
    partitions = range(source.registry.partitions)
    earlier = {part.partition: part for part in before.parts} if before is not None else {}
    snapshots = [await asyncio.to_thread(source.snapshots.sequences, p) for p in partitions]
    bounds = await ends_of(source.log, source.registry.partitions, report)
    return [
        await PartitionSaver(source.log, source.snapshots, archive, p, report).save(
            bounds[p], snapshots[p], earlier.get(p)
        )
        for p in partitions
    ]


def _check_registry(stores: bytes, registry: LogRegistry) -> None:
    """Raise `Unavailable` where the stores do not name the log whose blocks were saved."""
    entries = stored.decode(stores).get(REGISTRY_BUCKET, [])
    if [decode_registry(one.value) for one in entries if one.key == LOG_KEY] != [registry]:
        raise _replaced()


def _replaced() -> Unavailable:
    return Unavailable("`flux repartition` has replaced the log while it was saved; take the backup again")


async def _save_code(code: CodeStore, archive: Archive, report: Reporter) -> list[FileFacts]:
    found: list[FileFacts] = []
    for digest in await code.digests():
        try:
            data = await code.get(digest)
        except Corrupt as error:
            report.say(f"left out: {error.message}")
            continue
        found.append(await archive.keep(f"code/{digest}", data))
    return found


async def registry_of(stores: Stores) -> LogRegistry:
    """Return what is noted of the log; raises `Refused`, 404, where there is none."""
    known = None
    if REGISTRY_BUCKET in await stores.names():  # to open it would make it
        known = await (await stores.open(REGISTRY_BUCKET)).get(LOG_KEY)
    if known is None:
        raise Refused("there is no log there yet; start Flux once", 404)
    return decode_registry(known.value)
