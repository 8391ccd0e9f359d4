from __future__ import annotations

from pathlib import Path

from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.opening import open_store
from flux_actors.snapshot.placed import PlacedSnapshotStore


def test_folder_is_a_store_of_files(tmp_path: Path) -> None:
    for text in (str(tmp_path), f"file://{tmp_path}"):
        store = open_store(text)
        assert isinstance(store, FileSnapshotStore)
        sink = store.begin(0, 1)
        sink.commit()
        assert (tmp_path / "0" / "00000000000000000001.flux").exists()
        store.delete(0, 1)


def test_url_is_a_store_of_objects() -> None:
    assert isinstance(open_store("memory://somewhere"), PlacedSnapshotStore)
