"""Syncs that take longer, for real, of a program in C and of nats-server, which is one in Go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog
from flux_cluster.chaos import slow_disk
from flux_cluster.chaos.slow_disk import SlowDisk
from flux_cluster.data_folder import DataFolder
from flux_cluster.nats_server import NatsServer, binary
from tests.conftest import wait_for

START_S = 30.0
DELAY_S = 0.8
SYNCS = """
import os, sys, time
for sync in (os.fsync, os.fdatasync):
    with open(sys.argv[1], "wb") as file:
        file.write(b"x")
        began = time.monotonic()
        sync(file.fileno())
        print(time.monotonic() - began)
"""


def times(disk: SlowDisk, path) -> list[float]:
    """Return how long an fsync and an fdatasync took."""
    command = [sys.executable, "-I", "-c", SYNCS, str(path)]
    with disk.start(command, stdout=subprocess.PIPE) as program:
        output, _ = program.communicate(timeout=20)
    assert program.returncode == 0
    return [float(line) for line in output.split()]


def test_each_sync_takes_longer_and_is_made(tmp_path):
    disk = SlowDisk(DELAY_S)
    assert all(took_s >= DELAY_S for took_s in times(disk, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"x"
    assert disk.syncs == 2
    disk.delay_s = 0.0
    wait_for(lambda: max(times(disk, tmp_path / "file")) < DELAY_S, 20, "syncs as they were before")


def test_syncs_are_held_side_by_side(tmp_path):
    code = (
        "import os, sys, threading\n"
        "files = [open(f'{sys.argv[1]}/{n}', 'wb') for n in range(8)]\n"
        "threads = [threading.Thread(target=os.fsync, args=(f.fileno(),)) for f in files]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    disk = SlowDisk(DELAY_S)
    began = time.monotonic()
    with disk.start([sys.executable, "-I", "-c", code, str(tmp_path)]) as program:
        assert program.wait(20) == 0
    assert disk.syncs == 8
    assert DELAY_S <= time.monotonic() - began < 8 * DELAY_S


def test_one_that_is_killed_in_a_sync_ends_at_once_and_takes_nobody_with_it(tmp_path):
    disk = SlowDisk(60.0)
    code = f"import os; os.fsync(os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY))"
    with disk.start([sys.executable, "-I", "-c", code]) as program:
        deadline = time.monotonic() + 10
        while not disk.syncs and time.monotonic() < deadline:
            time.sleep(0.01)
        assert program.poll() is None
        program.kill()
        assert program.wait(5) == -9
    disk.delay_s = 0.0
    assert len(times(disk, tmp_path / "file")) == 2


def test_where_it_cannot_be_that_is_said(tmp_path, monkeypatch):
    refusing = tmp_path / "launcher.py"
    refusing.write_text("import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(b'EPERM')")
    monkeypatch.setattr(slow_disk, "_LAUNCHER", refusing)
    with pytest.raises(Unavailable, match=r"cannot be held up here \(EPERM"):
        SlowDisk().start(["true"])


async def test_what_nats_acknowledges_waits_for_the_sync(tmp_path):
    folder = DataFolder(tmp_path / "data")
    folder.open()
    folder.close()
    server, disk = NatsServer(folder, {}), SlowDisk()
    with disk.start([binary(), "-c", str(folder.nats / "server.conf")], stderr=subprocess.DEVNULL) as process:
        try:
            client = await connected(server.access)
            log = JetStreamLog(client)
            await log.create(1, "log", 1)
            assert min([await timed(log, f"a{number}") for number in range(5)]) < DELAY_S
            disk.delay_s = DELAY_S
            assert await timed(log, "b") >= DELAY_S
            await client.close()
        finally:
            process.kill()


async def connected(access):
    """Return a client as soon as the server is up."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(Unavailable):
            return await connect(access, "test", 1.0)
        await asyncio.sleep(0.05)  # one that nobody listens to refuses at once
    pytest.fail("nats-server does not answer")


async def timed(log, block_id: str) -> float:
    """Return how long an append took."""
    began = time.monotonic()
    await log.append(0, b"data", block_id, 5.0)
    return time.monotonic() - began
