"""What is on the disk; what a place promises is in tests/contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.errors import Unavailable
from flux_actors.places.files import FilePlace
from flux_actors.places.place import keep


def test_files_stand_below_the_root_by_their_names(tmp_path: Path) -> None:
    keep(FilePlace(tmp_path), "a/b/c.json", b"x")
    assert (tmp_path / "a" / "b" / "c.json").read_bytes() == b"x"


def test_file_that_a_killed_process_left_is_no_file_and_is_swept(tmp_path: Path) -> None:
    place = FilePlace(tmp_path)
    sink = place.begin("a/b.json")
    sink.write(b"half")
    assert place.names("a") == []
    place.sweep("a")
    sink.abort()
    assert [*(tmp_path / "a").iterdir()] == []


def test_place_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    place = FilePlace(tmp_path / "file")
    for attempt in (
        lambda: place.begin("a"),
        lambda: place.names(""),
        lambda: list(place.read("a")),
        lambda: place.delete("a"),
    ):
        with pytest.raises(Unavailable):
            attempt()
