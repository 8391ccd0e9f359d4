"""Backups and restores of a whole Flux: which log, which place, what must be empty."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import nats.errors
from nats.aio.client import Client

from flux_actors.backup.archive import check_files
from flux_actors.backup.manifest import Manifest, newest, reaching
from flux_actors.backup.pruning import prune
from flux_actors.backup.restoring import Restored, Target, restore
from flux_actors.backup.taking import Source, registry_of, take
from flux_actors.behaviour.code_store import CODE_BUCKET, JetStreamCodeStore
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess, check_jetstream, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.rebuilding import JetStreamRebuilder
from flux_actors.log.stores import JetStreamStores, stream_names
from flux_actors.places.aside import flush_folder
from flux_actors.places.opening import open_place
from flux_actors.places.place import Place
from flux_actors.reporting import Reporter, Say
from flux_actors.router.topology import REGISTRY_BUCKET, RESTORING_KEY
from flux_actors.settings import Settings
from flux_actors.snapshot.opening import open_store
from flux_actors.snapshot.store import SnapshotStore
from flux_cluster.data_folder import DataFolder, write_secret
from flux_cluster.reaching import external, reached, started

_NAME: Final = "flux-backup"
_SYNC: Final = "60s"  # while it is filled: all is flushed at the end
_TIMEOUT_S: Final = 5.0
_OURS: Final = ("FLUX_EVENTS_", "KV_flux_", f"OBJ_{CODE_BUCKET}")
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


def back_up(settings: Settings, destination: str, kept: int | None, say: Say) -> Manifest:
    """Take a backup of a Flux, running or not, and return its manifest; raises as `take`.

    If `kept` is a number, no more than so many backups stay at the destination.
    """
    place = open_place(destination)
    with reached(settings) as access:
        manifest = asyncio.run(_back_up(access, settings, place, say))
    if kept is not None:
        prune(place, kept)
    return manifest


async def _back_up(access: NatsAccess, settings: Settings, place: Place, say: Say) -> Manifest:
    client = await connect(access, _NAME)
    try:
        stores = JetStreamStores(client, settings.log_replicas)
        registry = await registry_of(stores)
        source = Source(
            registry,
            JetStreamLog(client, registry.generation),
            open_store(settings.snapshot_place, registry.generation),
            stores,
            await JetStreamCodeStore.open(client, settings.log_replicas),
        )
        return await take(source, place, say, _now_us)
    finally:
        await client.close()


def check(destination: str, say: Say) -> Manifest:
    """Read all files of the newest backup and compare their checksums.

    Raises:
        Refused: 404, there is none. Corrupt: a file of it is damaged, or gone.
    """
    place = open_place(destination)
    manifest = newest(place)
    if manifest is None:
        raise Refused("there is no finished backup at that place", _NOT_FOUND)
    check_files(place, manifest.files(), Reporter(say))
    return manifest


def restore_from(settings: Settings, origin: str, at_us: int | None, say: Say) -> Restored:
    """Restore a backup into an empty data folder, or into an empty NATS if the settings name one.

    Raises:
        Refused: 409, there is something already; 410, the backup does not reach back to `at_us`.
    """
    place = open_place(origin)
    manifest = reaching(place, at_us)
    filling = _Filling(settings, place, manifest, at_us, say)
    if settings.nats_url is not None:
        access = external(settings)
        asyncio.run(check_jetstream(access))
        return asyncio.run(filling.fill(access))
    folder = DataFolder(settings.data)
    filling.again = _prepare(folder, manifest)
    with started(folder, sync=_SYNC, to_restore=True) as access:
        restored = asyncio.run(filling.fill(access))
    _flush(folder.nats)
    folder.restoring.unlink()
    return restored


class _Filling:
    """One restore; `again` says that an earlier one was not finished."""

    def __init__(
        self, settings: Settings, place: Place, manifest: Manifest, at_us: int | None, say: Say
    ) -> None:
        self._settings = settings
        self._place = place
        self._manifest = manifest
        self._at_us = at_us
        self._say = say
        self.again = False

    async def fill(self, access: NatsAccess) -> Restored:
        """Fill the log at `access` and the snapshot store of the settings, which must be empty."""
        replicas = self._settings.log_replicas
        client = await connect(access, _NAME)
        try:
            snapshots = open_store(self._settings.snapshot_place, self._manifest.generation)
            stores = JetStreamStores(client, replicas)
            self.again = await _emptied(client, stores) or self.again
            await asyncio.to_thread(self._empty_snapshots, snapshots)
            code = await JetStreamCodeStore.open(client, replicas)
            rebuilder = JetStreamRebuilder(client, replicas, self._manifest.generation)
            target = Target(rebuilder, snapshots, stores, code)
            return await restore(self._place, self._manifest, target, self._at_us, self._say)
        finally:
            await client.close()

    def _empty_snapshots(self, store: SnapshotStore) -> None:
        """Raise `Refused` when there are snapshots; those of a restore that was not finished are removed."""
        for part in self._manifest.parts:
            for sequence in store.sequences(part.partition):
                if not self.again:
                    raise Refused(
                        f"there are snapshots at {self._settings.snapshot_place}; a restored Flux needs a "
                        "place of its own for them (FLUX_SNAPSHOTS)",
                        _CONFLICT,
                    )
                store.delete(part.partition, sequence)


async def _emptied(client: Client, stores: JetStreamStores) -> bool:
    """Remove what an unfinished restore left in a NATS; return whether there was one.

    Raises:
        Refused: 409, there is a Flux in it.
    """
    streams = [
        name for subject in ("flux.events.>", "$KV.>", "$O.>") for name in await stream_names(client, subject)
    ]
    ours = [name for name in streams if name.startswith(_OURS)]
    if not ours:
        return False
    if REGISTRY_BUCKET in await stores.names():
        registry = await stores.open(REGISTRY_BUCKET)
        if await registry.get(RESTORING_KEY) is not None:
            await _remove(client, ours)
            return True
    raise Refused("there is a Flux in that NATS already; a backup is restored into an empty one", _CONFLICT)


async def _remove(client: Client, streams: list[str]) -> None:
    """Remove streams, the registry last: its note says that the others may be removed."""
    jetstream = client.jetstream(timeout=_TIMEOUT_S)
    try:
        for name in sorted(streams, key=lambda name: name == f"KV_{REGISTRY_BUCKET}"):
            await jetstream.delete_stream(name)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unavailable(f"the log cannot be reached ({type(error).__name__})") from error


def _prepare(folder: DataFolder, manifest: Manifest) -> bool:
    """Note a restore in an empty data folder; return whether one was not finished.

    Raises:
        Refused: 409, the folder holds something else.
    """
    again = folder.restoring.exists()
    try:
        if not again and any(folder.root.iterdir()):
            raise Refused(
                f"{folder.root} is not empty; a backup is restored into a new data folder, named with --data",
                _CONFLICT,
            )
    except FileNotFoundError:
        folder.root.mkdir(0o700, parents=True)
    except OSError as error:
        raise Refused(f"{folder.root} cannot be used as a data folder: {error.strerror}") from None
    write_secret(folder.restoring, manifest.name)
    return again


def _flush(folder: Path) -> None:
    """Have everything in a folder survive a power cut."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            flush_folder(path)
    flush_folder(folder)


def _now_us() -> int:
    return time.time_ns() // 1_000
