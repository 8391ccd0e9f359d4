"""The file in the making; more of it is asked for through its users: tests/unit/snapshot/test_files.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux_actors.errors import Unavailable
from flux_actors.places.aside import Aside


def test_file_and_all_folders_made_for_it_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Aside(tmp_path / "a" / "b" / "c" / "file", "it").commit()
    finally:
        os.umask(before)
    made = [*(tmp_path / "a").rglob("*"), tmp_path / "a"]
    assert len(made) == 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


def test_folders_that_were_there_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Aside(tmp_path / "file", "it").commit()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_error_says_what_it_is_about(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="the thing cannot be written: Not a directory"):
        Aside(tmp_path / "file" / "below", "the thing")
