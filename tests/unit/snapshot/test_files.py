"""What files bring beside the contract of a snapshot store (tests/contract)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux_actors.errors import Unavailable
from flux_actors.snapshot.files import FileSnapshotStore


def kept(store: FileSnapshotStore, sequence: int, data: bytes = b"data") -> None:
    sink = store.begin(0, sequence)
    sink.write(data)
    sink.commit()


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_snapshot_is_a_file_named_by_partition_and_sequence(tmp_path: Path) -> None:
    kept(FileSnapshotStore(tmp_path), 42)
    assert files_in(tmp_path) == ["0/00000000000000000042.flux"]


def test_snapshot_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept(FileSnapshotStore(tmp_path / "new" / "snapshots"), 42)
    finally:
        os.umask(before)
    made = [*(tmp_path / "new" / "snapshots").rglob("*")]
    assert len(made) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


def test_aborted_snapshot_leaves_no_file(tmp_path: Path) -> None:
    sink = FileSnapshotStore(tmp_path).begin(0, 1)
    sink.write(b"x" * 100_000)
    sink.abort()
    assert files_in(tmp_path) == []


def test_file_that_a_crash_left_behind_is_no_snapshot(tmp_path: Path) -> None:
    store = FileSnapshotStore(tmp_path)
    kept(store, 1)
    folder = tmp_path / "0"
    for name in ("00000000000000000002.tmp", "3.flux", "x.flux", "00000000000000000004.flux.bak"):
        (folder / name).write_bytes(b"half")
    assert store.sequences(0) == [1]
    kept(store, 2, b"whole")
    assert b"".join(store.read(0, 2)) == b"whole"


def test_large_snapshot_is_read_in_pieces(tmp_path: Path) -> None:
    store = FileSnapshotStore(tmp_path)
    data = os.urandom(1 << 10) * 2_500
    kept(store, 1, data)
    pieces = list(store.read(0, 1))
    assert len(pieces) == 3
    assert b"".join(pieces) == data


def test_snapshot_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("flush")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    kept(FileSnapshotStore(tmp_path), 1)
    assert steps == ["flush", "rename", "flush"]


def test_disk_that_fails_at_the_end_is_unavailable_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = FileSnapshotStore(tmp_path)
    sink = store.begin(0, 1)
    sink.write(b"data")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable, match="No space left"):
            sink.commit()
    sink.abort()
    assert store.sequences(0) == []
    assert files_in(tmp_path) == []


def test_full_disk_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "00000000000000000001.tmp").symlink_to("/dev/full")
    sink = FileSnapshotStore(tmp_path).begin(0, 1)
    with pytest.raises(Unavailable, match="No space left"):
        sink.write(b"x" * 10_000_000)
    sink.abort()
    assert files_in(tmp_path) == []


def test_file_that_a_killed_process_left_is_swept_with_its_partition(tmp_path: Path) -> None:
    store = FileSnapshotStore(tmp_path)
    kept(store, 1)
    left, of_another = store.begin(0, 2), store.begin(1, 2)
    left.write(b"half")
    store.sweep(0)
    assert files_in(tmp_path) == ["0/00000000000000000001.flux", "1/00000000000000000002.tmp"]
    of_another.abort()
    left.abort()


def test_place_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileSnapshotStore(tmp_path / "file")
    with pytest.raises(Unavailable):
        store.begin(0, 1)
    with pytest.raises(Unavailable):
        store.sequences(0)
    with pytest.raises(Unavailable):
        list(store.read(0, 1))
    with pytest.raises(Unavailable):
        store.delete(0, 1)
