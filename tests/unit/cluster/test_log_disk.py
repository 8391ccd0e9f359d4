"""How much of its disk the embedded log may take, and that a disk was full."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from flux_actors import limits
from flux_cluster.log_disk import LogDisk, Turn

GIB = 1024**3


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk that says that so much is free as its `free` says."""
    disk = LogDisk(tmp_path / "store")
    said = SimpleNamespace(free=GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: said)
    disk.said = said
    return disk


def test_a_log_that_is_larger_than_what_is_free_may_still_grow(disk, tmp_path):
    (tmp_path / "store" / "streams").mkdir(parents=True)
    with (tmp_path / "store" / "streams" / "1.blk").open("wb") as block:
        block.truncate(10 * GIB)  # a file of that size that takes no room here
    may_grow = disk.store_bytes_max() - 10 * GIB
    assert may_grow == GIB - 11 * GIB // limits.disk_reserve_parts


def test_a_new_log_may_take_all_but_a_reserve(disk):
    assert disk.store_bytes_max() == GIB - GIB // limits.disk_reserve_parts


def test_it_is_told_once_that_the_disk_is_full_and_once_that_there_is_room(disk):
    assert disk.look() is None
    disk.said.free = limits.disk_full_bytes - 1
    assert [disk.look(), disk.look()] == [Turn.FULL, None]
    disk.said.free = limits.disk_room_bytes - 1  # a little came free, which a block or two would take
    assert disk.look() is None
    disk.said.free = limits.disk_room_bytes
    assert [disk.look(), disk.look()] == [Turn.ROOM, None]
    disk.said.free = 0
    assert disk.look() is Turn.FULL
