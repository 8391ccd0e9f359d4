"""The cold store on LMDB: leaves nothing behind, bears a full disk, and holds no more pages than it may."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.cold_lmdb import LmdbColdStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbColdStore]:
    store = LmdbColdStore(tmp_path)
    yield store
    store.close()


def files_open_in(folder: Path) -> list[str]:
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [link for link in links if link.startswith(str(folder))]


def mapped_bytes_of(folder: Path) -> int:
    """Return how much of the files that were made in `folder` is in this process's memory."""
    total = 0
    counts = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name = line.split()[0]
        if "-" in name and not name.endswith(":"):
            counts = str(folder) in line and "data.mdb" in line
        elif counts and name == "Rss:":
            total += int(line.split()[1]) * 1024
    return total


def test_its_file_has_no_name_and_ends_with_it(tmp_path: Path, store: LmdbColdStore) -> None:
    store.put([("a", b"row")])
    assert list(tmp_path.iterdir()) == []
    assert any("data.mdb" in link and link.endswith("(deleted)") for link in files_open_in(tmp_path))
    store.close()
    assert files_open_in(tmp_path) == []


def test_full_disk_refuses_rows_and_loses_none(store: LmdbColdStore) -> None:
    before = [(f"{number:04}", b"x" * 1_000) for number in range(100)]
    store.put(before)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(Unavailable, match="takes no more rows"):
            store.put([(f"new-{number:04}", b"y" * 10_000) for number in range(500)])
        with store.walk("") as rows:
            assert list(rows) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    store.put([("new", b"y")])
    assert (store.count(), store.get("new"), store.get("0000")) == (101, b"y", b"x" * 1_000)


def test_more_rows_than_its_address_space_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "cold_store_bytes_max", 1 << 20)
    store = LmdbColdStore(tmp_path)
    store.put([("a", b"1")])
    with pytest.raises(Unavailable):
        store.put([(f"{number:04}", b"x" * 10_000) for number in range(500)])
    assert (store.count(), store.get("a")) == (1, b"1")
    store.close()


def test_pages_that_were_touched_do_not_stay_mapped(tmp_path: Path) -> None:
    store = LmdbColdStore(tmp_path, 1 << 20)
    for number in range(40):
        store.put([(f"{number:04}-{index:04}", b"x" * 1_000) for index in range(100)])
        assert mapped_bytes_of(tmp_path) < 3 << 20
    with store.walk("") as rows:
        assert len(list(rows)) == 4_000
        assert mapped_bytes_of(tmp_path) > 4 << 20
    assert mapped_bytes_of(tmp_path) < 1 << 20


def test_walk_is_not_cut_short_when_pages_are_let_go(tmp_path: Path) -> None:
    store = LmdbColdStore(tmp_path, 1)
    store.put([(f"{number:04}", b"x" * 1_000) for number in range(1_000)])
    with store.walk("") as rows:
        for number, (name, row) in enumerate(rows):
            assert (name, row) == (f"{number:04}", b"x" * 1_000)
            assert store.get(name) == row


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be made"):
        LmdbColdStore(tmp_path / "file")
