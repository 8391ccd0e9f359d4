"""What every `SnapshotStore` promises (flux_actors/snapshot/store.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.errors import Corrupt
from flux_actors.places.memory import MemoryPlace
from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_actors.snapshot.opening import open_store
from flux_actors.snapshot.placed import PlacedSnapshotStore
from flux_actors.snapshot.store import SnapshotStore, keep_newest


@pytest.fixture(params=["memory", "files", "placed", pytest.param("s3", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    match request.param:
        case "memory":
            return MemorySnapshotStore()
        case "files":
            return FileSnapshotStore(tmp_path / "not" / "made" / "yet")
        case "placed":
            return PlacedSnapshotStore(MemoryPlace())
    return open_store(request.getfixturevalue("s3_url"))


def keep(store: SnapshotStore, partition: int, sequence: int, *parts: bytes) -> None:
    sink = store.begin(partition, sequence)
    for part in parts:
        sink.write(part)
    sink.commit()


def content(store: SnapshotStore, partition: int, sequence: int) -> bytes:
    return b"".join(store.read(partition, sequence))


def test_snapshot_is_given_back_whole(store: SnapshotStore) -> None:
    keep(store, 0, 7, b"one", b"", bytes(range(256)), b"x" * 3_000_000)
    assert content(store, 0, 7) == b"one" + bytes(range(256)) + b"x" * 3_000_000


def test_what_was_never_finished_is_swept_and_what_was_kept_stays(store: SnapshotStore) -> None:
    store.sweep(0)
    keep(store, 0, 7, b"kept")
    keep(store, 1, 7, b"of another partition")
    sink = store.begin(0, 8)
    sink.write(b"half")
    store.sweep(0)
    sink.abort()
    assert (store.sequences(0), store.sequences(1)) == ([7], [7])
    assert content(store, 0, 7) == b"kept"
    keep(store, 0, 8, b"whole")
    assert content(store, 0, 8) == b"whole"


def test_empty_snapshot_is_one_too(store: SnapshotStore) -> None:
    keep(store, 0, 0)
    assert store.sequences(0) == [0]
    assert content(store, 0, 0) == b""


def test_sequences_are_told_newest_first_for_each_partition(store: SnapshotStore) -> None:
    assert store.sequences(0) == []
    for sequence in (9, 100, 10, 1, 10**15):
        keep(store, 0, sequence, b"%d" % sequence)
    keep(store, 1, 5, b"other")
    assert store.sequences(0) == [10**15, 100, 10, 9, 1]
    assert store.sequences(1) == [5]
    assert store.sequences(10) == []
    assert content(store, 0, 10) == b"10"


def test_nobody_sees_a_snapshot_before_its_commit(store: SnapshotStore) -> None:
    sink = store.begin(0, 3)
    sink.write(b"half")
    assert store.sequences(0) == []
    with pytest.raises(Corrupt):
        content(store, 0, 3)
    sink.commit()
    assert store.sequences(0) == [3]


def test_aborted_snapshot_leaves_nothing(store: SnapshotStore) -> None:
    sink = store.begin(0, 3)
    sink.write(b"half")
    sink.abort()
    assert store.sequences(0) == []
    keep(store, 0, 3, b"whole")
    assert content(store, 0, 3) == b"whole"


def test_abort_keeps_the_snapshot_that_was_there(store: SnapshotStore) -> None:
    keep(store, 0, 3, b"before")
    sink = store.begin(0, 3)
    sink.write(b"half")
    assert content(store, 0, 3) == b"before"
    sink.abort()
    assert content(store, 0, 3) == b"before"


def test_snapshot_of_the_same_sequence_replaces_the_one_before(store: SnapshotStore) -> None:
    keep(store, 0, 3, b"a longer one")
    keep(store, 0, 3, b"after")
    assert store.sequences(0) == [3]
    assert content(store, 0, 3) == b"after"


def test_snapshot_that_is_not_there_is_corrupt(store: SnapshotStore) -> None:
    keep(store, 0, 3, b"x")
    for partition, sequence in ((0, 4), (1, 3)):
        with pytest.raises(Corrupt, match=f"no snapshot {sequence} of partition {partition}"):
            content(store, partition, sequence)


def test_deleted_snapshot_is_gone_and_its_neighbours_stay(store: SnapshotStore) -> None:
    for sequence in (1, 2):
        keep(store, 0, sequence, b"%d" % sequence)
    store.delete(0, 1)
    store.delete(0, 1)
    store.delete(9, 9)
    assert store.sequences(0) == [2]
    with pytest.raises(Corrupt):
        content(store, 0, 1)


def test_newest_are_kept(store: SnapshotStore) -> None:
    for sequence in (5, 20, 10, 30):
        keep(store, 0, sequence, b"x")
    keep_newest(store, 0, 3)
    assert store.sequences(0) == [30, 20, 10]
