"""What every `Place` promises (flux_actors/places/place.py)."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from flux_actors.errors import Corrupt
from flux_actors.places.files import FilePlace
from flux_actors.places.memory import MemoryPlace
from flux_actors.places.opening import open_place
from flux_actors.places.place import Place, keep


@pytest.fixture(params=["memory", "files", pytest.param("s3", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "memory":
            return MemoryPlace()
        case "files":
            return FilePlace(tmp_path / "not" / "made" / "yet")
    return open_place(request.getfixturevalue("s3_url"))


def content(place: Place, name: str) -> bytes:
    return b"".join(place.read(name))


def test_file_is_given_back_whole(place: Place) -> None:
    for data in (b"", b"x", bytes(range(256)) * 40_000):  # the largest is more than one part of an upload
        keep(place, "a/b/file.1", data)
        assert content(place, "a/b/file.1") == data


def test_file_written_in_parts_is_one(place: Place) -> None:
    sink = place.begin("file")
    for part in (b"one", b"", b"two"):
        sink.write(part)
    sink.commit()
    assert content(place, "file") == b"onetwo"


def test_nobody_sees_a_file_before_its_commit(place: Place) -> None:
    sink = place.begin("a/file")
    sink.write(b"half")
    assert place.names("a") == []
    with pytest.raises(Corrupt):
        content(place, "a/file")
    sink.commit()
    assert place.names("a") == ["file"]


def test_aborted_file_leaves_what_was_there(place: Place) -> None:
    keep(place, "a/file", b"before")
    for name in ("a/file", "a/other"):
        sink = place.begin(name)
        sink.write(b"half")
        sink.abort()
    assert place.names("a") == ["file"]
    assert content(place, "a/file") == b"before"


def test_names_are_those_of_the_folder_itself(place: Place) -> None:
    for name in ("b/2", "b/1", "b/10", "b/c/3", "bb/4", "5"):
        keep(place, name, b"x")
    assert place.names("b") == ["1", "10", "2"]
    assert place.names("b/c") == ["3"]
    assert place.names("nothing/there") == []
    keep(place, "b/3", b"x")
    assert place.names("b") == ["1", "10", "2", "3"]  # no listing is remembered


@pytest.mark.real
def test_files_of_others_are_seen_at_once(s3_url: str) -> None:
    """S3's client remembers listings unless it is told not to: another node would not see a snapshot."""
    place = open_place(s3_url)
    others = fsspec.filesystem("s3", skip_instance_cache=True)
    keep(place, "a/1", b"x")
    assert place.names("a") == ["1"]
    others.pipe_file(f"{s3_url}/a/2", b"x")
    others.rm_file(f"{s3_url}/a/1")
    assert place.names("a") == ["2"]


def test_file_that_is_not_there_is_corrupt(place: Place) -> None:
    keep(place, "a/file", b"x")
    for name in ("a/other", "other/file"):
        with pytest.raises(Corrupt, match="is not there"):
            content(place, name)


def test_deleted_file_is_gone_and_its_neighbours_stay(place: Place) -> None:
    for name in ("a/1", "a/2"):
        keep(place, name, b"x")
    for name in ("a/1", "a/1", "b/1"):
        place.delete(name)
    assert place.names("a") == ["2"]


def test_what_was_never_finished_is_swept_and_what_was_kept_stays(place: Place) -> None:
    place.sweep("a")
    keep(place, "a/1", b"kept")
    sink = place.begin("a/2")
    sink.write(b"half")
    place.sweep("a")
    sink.abort()
    assert place.names("a") == ["1"]
    assert content(place, "a/1") == b"kept"
