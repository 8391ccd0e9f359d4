"""What must be empty before a restore, what a restore that was not finished leaves, and checking a backup.

That backups of a living log come back is asked in tests/integration/test_disaster.py.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nats.errors
import pytest

from flux_actors import limits
from flux_actors.backup.manifest import newest
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryStores
from flux_actors.places.files import FilePlace
from flux_actors.router.topology import REGISTRY_BUCKET, RESTORING_KEY
from flux_actors.settings_loading import load_settings
from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_cluster import backups
from flux_cluster.backups import _emptied, _Filling, _flush, _prepare, check, restore_from
from flux_cluster.data_folder import DataFolder
from tests.unit.backup.world import World


@pytest.fixture
def backup(tmp_path):
    """A folder with a backup of a few events."""

    async def take():
        world = await World.begun()
        world.place = FilePlace(tmp_path / "backup")
        await world.fill([1, 2, 3])
        await world.snapshot()
        await world.back_up()

    asyncio.run(take())
    return tmp_path / "backup"


def manifest_of(folder):
    return newest(FilePlace(folder))


def test_check_reads_every_file(backup):
    assert check(str(backup), print) == manifest_of(backup)
    for path in sorted(backup.glob("[ls]*/**/*.*")):
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(Corrupt, match="damaged"):
            check(str(backup), print)
        path.unlink()
        with pytest.raises(Corrupt, match="is not there"):
            check(str(backup), print)
        path.write_bytes(data)
    check(str(backup), print)


def test_check_tells_how_far_it_is(backup, monkeypatch):
    monkeypatch.setattr(limits, "report_every_s", 0.0)
    told = []
    check(str(backup), told.append)
    assert told == ["read 1 of 3 files", "read 2 of 3 files", "read 3 of 3 files"]


def test_place_without_a_backup_is_refused(tmp_path):
    for attempt in (
        lambda: check(str(tmp_path), print),
        lambda: restore_from(load_settings({"data": tmp_path / "new"}, {}), str(tmp_path), None, print),
    ):
        with pytest.raises(Refused, match="no finished backup"):
            attempt()
    assert not (tmp_path / "new").exists()


def test_folder_that_is_not_empty_is_not_restored_into(backup, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "something").write_bytes(b"mine")
    with pytest.raises(Refused, match="is not empty"):
        restore_from(load_settings({"data": data}, {}), str(backup), None, print)
    assert [path.name for path in data.iterdir()] == ["something"]
    with pytest.raises(Refused, match="cannot be used"):
        restore_from(load_settings({"data": data / "something"}, {}), str(backup), None, print)


def test_restore_is_noted_before_anything_is_written_and_can_be_begun_again(backup, tmp_path):
    folder, manifest = DataFolder(tmp_path / "new" / "data"), manifest_of(backup)
    assert _prepare(folder, manifest) is False
    assert folder.restoring.read_text() == manifest.name
    assert folder.root.stat().st_mode & 0o077 == 0
    assert _prepare(folder, manifest) is True


def filling(backup, *, again):
    found = _Filling(load_settings({}, {}), FilePlace(backup), manifest_of(backup), None, print)
    found.again = again
    return found


def test_place_with_snapshots_is_not_restored_into_unless_an_unfinished_restore_left_them(backup):
    store = MemorySnapshotStore()
    filling(backup, again=False)._empty_snapshots(store)  # noqa: SLF001
    sink = store.begin(1, 7)
    sink.commit()
    with pytest.raises(Refused, match="there are snapshots at"):
        filling(backup, again=False)._empty_snapshots(store)  # noqa: SLF001
    assert store.sequences(1) == [7]
    filling(backup, again=True)._empty_snapshots(store)  # noqa: SLF001
    assert store.sequences(1) == []


class FakeNats:
    """A NATS with some streams."""

    def __init__(self, *streams, fault=None):
        self.streams, self.fault = list(streams), fault

    def jetstream(self, timeout):
        return self

    async def delete_stream(self, name):
        if self.fault is not None:
            raise self.fault
        self.streams.remove(name)

    async def names(self, subject):
        kinds = {"flux.events.>": "FLUX_", "$KV.>": "KV_", "$O.>": "OBJ_"}
        return [name for name in self.streams if name.startswith(kinds[subject])]


@pytest.fixture(autouse=True)
def _names(monkeypatch):
    monkeypatch.setattr(backups, "stream_names", lambda client, subject: client.names(subject))


async def noted():
    stores = MemoryStores()
    await (await stores.open(REGISTRY_BUCKET)).put(RESTORING_KEY, b"x")
    return stores


async def test_nats_of_others_is_empty_for_a_restore():
    client = FakeNats("KV_others", "OBJ_others", "FLUX_OTHERS")
    assert await _emptied(client, MemoryStores()) is False
    assert len(client.streams) == 3


@pytest.mark.parametrize("stream", ["FLUX_EVENTS_0", "KV_flux_config", "OBJ_flux_code", "KV_flux_registry"])
async def test_nats_of_a_flux_is_not_restored_into(stream):
    client, stores = FakeNats("KV_others", stream), MemoryStores()
    await (await stores.open(REGISTRY_BUCKET)).put("log", b"{}")
    with pytest.raises(Refused, match="there is a Flux in that NATS"):
        await _emptied(client, stores)
    assert client.streams == ["KV_others", stream]


async def test_what_an_unfinished_restore_left_in_a_nats_is_removed_and_the_note_last():
    client = FakeNats("KV_flux_registry", "KV_others", "FLUX_EVENTS_0", "OBJ_flux_code")
    deleted = []
    delete = client.delete_stream

    async def noting(name):
        deleted.append(name)
        await delete(name)

    client.delete_stream = noting
    assert await _emptied(client, await noted()) is True
    assert (client.streams, deleted[-1]) == (["KV_others"], "KV_flux_registry")


@pytest.mark.parametrize("fault", [nats.errors.ConnectionClosedError(), TimeoutError(), OSError()])
async def test_nats_that_is_away_is_unavailable(fault):
    with pytest.raises(Unavailable):
        await _emptied(FakeNats("FLUX_EVENTS_0", fault=fault), await noted())


def test_restored_files_are_on_the_disk_before_the_restore_is_done(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(b"x")
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    _flush(tmp_path)
    assert sorted(flushed) == sorted(str(path) for path in (tmp_path, *tmp_path.rglob("*")))


def test_external_nats_is_asked_for_before_anything_is_done(backup, monkeypatch):
    asked = []

    async def away(access):
        asked.append(access.url)
        raise Unavailable("there is none")

    monkeypatch.setattr(backups, "check_jetstream", away)
    with pytest.raises(Unavailable, match="there is none"):
        restore_from(load_settings({"nats_url": "nats://log:1"}, {}), str(backup), None, print)
    assert asked == ["nats://log:1"]
