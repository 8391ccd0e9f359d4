"""A file that is written aside, flushed to disk, then renamed: whole or not there, for its owner alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from flux_actors.errors import Unavailable

ASIDE: Final = ".tmp"
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_FOLDER_MODE: Final = 0o700  # all state is in there, and some of it may be private
_FILE_MODE: Final = 0o600


class Aside:
    """The file at `path` in the making; `what` it is says an error."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._aside = path.with_suffix(ASIDE)
        self._what = what
        try:
            _make(path.parent)
            self._file = os.fdopen(os.open(self._aside, _WRITE, _FILE_MODE), "wb")
        except OSError as error:
            raise self._unwritten(error) from error

    def write(self, data: bytes) -> None:
        """Add bytes."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self._unwritten(error) from error

    def commit(self) -> None:
        """Flush, rename, and flush the folder, so that the name survives a power cut."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._aside.replace(self._path)
            flush_folder(self._path.parent)
        except OSError as error:
            raise self._unwritten(error) from error

    def abort(self) -> None:
        """Remove the unfinished file."""
        with suppress(OSError):  # a full disk refuses even the rest of what is thrown away here
            self._file.close()
        self._aside.unlink(missing_ok=True)

    def _unwritten(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self._what} cannot be written: {error.strerror}")


def flush_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    """Make a folder and those above it; `mkdir` itself would leave the ones above open to others."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(_FOLDER_MODE, exist_ok=True)
