"""A backup comes back on a real nats-server as on the twins: in a data folder, or in somebody else's NATS."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from flux_actors.behaviour.code_store import JetStreamCodeStore
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.stores import JetStreamStores
from flux_actors.places.files import FilePlace
from flux_actors.settings import Settings
from flux_actors.settings_loading import load_settings
from flux_actors.snapshot.opening import open_store
from flux_cluster.backups import back_up, check, restore_from
from flux_cluster.data_folder import DataFolder
from flux_cluster.nats_server import known_access
from flux_cluster.processes import lives, of_run
from flux_cluster.reaching import reached, started
from tests.unit.backup.world import World

pytestmark = pytest.mark.real


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A Flux on the twins with a backup: one log trimmed, one empty, something deployed in both."""

    async def make() -> World:
        world = await World.begun()
        world.place = FilePlace(tmp_path / "backup")  # type: ignore[assignment]
        await world.fill(range(1, 21))
        await world.snapshot(until=15)
        world.log.trim(0, 11)
        await world.deploy("home", 30)
        await (await world.stores.open("flux_tenancy")).put("ns.one", b"\x00hashed")
        await world.back_up()
        return world

    return asyncio.run(make())


@contextmanager
def target(tmp_path: Path, where: str) -> Iterator[Settings]:
    """Give settings for a restore into an empty data folder, or into an empty NATS of somebody else."""
    if where == "folder":
        yield load_settings({"data": tmp_path / "new"}, {})
        return
    with started(DataFolder(tmp_path / "others")) as access:
        login = {"nats_url": access.url, "nats_user": access.user, "nats_password": access.password}
        yield load_settings({"data": tmp_path / "new", **login}, {})


async def assert_same(access: NatsAccess, world: World, settings: Settings) -> None:
    client = await connect(access, "test")
    log, stores = JetStreamLog(client), JetStreamStores(client)
    for partition in range(2):
        assert await log.bounds(partition) == await world.log.bounds(partition)
        for sequence, data in (await world.blocks(partition)).items():
            assert await log.block(partition, sequence) == data
    stored = await world.stored()
    assert await stores.names() == sorted(stored)
    for name, values in stored.items():
        entries = await (await stores.open(name)).changes(0)
        assert {one.key: one.value for one in entries if one.value is not None} == values
    assert await (await JetStreamCodeStore.open(client)).digests() == sorted(world.code.kept)
    await client.close()
    kept = open_store(settings.snapshot_place)
    assert kept.sequences(0) == world.snapshots.sequences(0)
    assert b"".join(kept.read(0, 15)) == b"".join(world.snapshots.read(0, 15))


@pytest.mark.parametrize("where", ["folder", "nats"])
def test_backup_comes_back_at_its_sequences_and_is_not_restored_over(
    world: World, tmp_path: Path, where: str
) -> None:
    backup = str(tmp_path / "backup")
    with target(tmp_path, where) as settings:
        restored = restore_from(settings, backup, None, print)
        assert (restored.blocks, restored.ends) == (12, [21, 1])
        with reached(settings) as access:
            asyncio.run(assert_same(access, world, settings))
        with pytest.raises(Refused, match=r"is not empty|there is a Flux in that NATS"):
            restore_from(settings, backup, None, print)
        again = back_up(settings, backup, None, print)
        assert check(backup, print) == again
        assert [part.last for part in again.parts] == [21, 1]
        elsewhere = back_up(settings, str(tmp_path / "other"), None, print)
        assert [part.first for part in elsewhere.parts] == [11, 1]


@pytest.mark.parametrize("where", ["folder", "nats"])
def test_restore_that_was_not_finished_is_begun_again(world: World, tmp_path: Path, where: str) -> None:
    backup = str(tmp_path / "backup")
    (file,) = (tmp_path / "backup" / "log" / "1").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with target(tmp_path, where) as settings:
        with pytest.raises(Corrupt, match="damaged"):
            restore_from(settings, backup, None, print)
        file.write_bytes(whole)
        assert restore_from(settings, backup, None, print).ends == [21, 1]
        with reached(settings) as access:
            asyncio.run(assert_same(access, world, settings))


HOLDING = """
import sys, time
from pathlib import Path
from flux_cluster.data_folder import DataFolder
from flux_cluster.reaching import started
with started(DataFolder(Path(sys.argv[1]))):
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def left(tmp_path: Path) -> Iterator[psutil.Process]:
    """The server of a command on the folder `data`, which was killed."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"started\n"
    run = DataFolder(tmp_path / "data").run()
    assert run is not None
    holder.kill()
    holder.communicate(timeout=30)
    (server,) = of_run(run.run_id)
    yield server
    with suppress(psutil.NoSuchProcess):
        server.kill()
    psutil.wait_procs([server], 10)


def test_a_server_that_a_killed_command_left_is_ended_before_there_is_another(left, tmp_path: Path) -> None:
    with started(DataFolder(tmp_path / "data")):
        assert not lives(left)


def test_a_store_is_emptied_for_a_restore_once_nobody_has_it_open(left, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    (folder.nats / "of-the-first").touch()
    with started(folder, to_restore=True):
        assert not lives(left)
        assert not (folder.nats / "of-the-first").exists()


def test_the_server_of_a_killed_flux_is_used_and_has_no_other_beside_it(left, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    run = folder.run()
    assert run is not None
    folder.write_run(msgspec.structs.replace(run, url="http://localhost:3000"))  # as `flux up` notes itself
    with reached(load_settings({"data": folder.root}, {})) as access:
        assert access == known_access(folder)
    with pytest.raises(Refused, match="was killed and left processes"), started(folder):
        pytest.fail("there are two servers on one store")
    assert lives(left)
