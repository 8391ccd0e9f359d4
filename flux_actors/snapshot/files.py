"""Snapshots on files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from flux_actors.errors import Corrupt, Unavailable

_CHUNK_BYTES: Final = 1 << 20
_ASIDE: Final = ".tmp"
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_FOLDER_MODE: Final = 0o700  # all state is in a snapshot, and some of it may be private
_FILE_MODE: Final = 0o600
_NAME: Final = re.compile(r"(\d{20})\.flux")


class FileSnapshotStore:
    """Snapshots as files `<root>/<partition>/<sequence>.flux`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, partition: int, sequence: int) -> FileSink:
        """Return a sink that writes aside and renames."""
        return FileSink(self._path(partition, sequence))

    def sequences(self, partition: int) -> list[int]:
        """Return what is there, newest first."""
        try:
            names = [path.name for path in (self._root / str(partition)).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"snapshots cannot be read: {error.strerror}") from error
        matches = map(_NAME.fullmatch, names)
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def read(self, partition: int, sequence: int) -> Iterator[bytes]:
        """Yield the file's bytes."""
        try:
            with self._path(partition, sequence).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise Corrupt(f"there is no snapshot {sequence} of partition {partition}") from None
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be read: {error.strerror}") from error

    def delete(self, partition: int, sequence: int) -> None:
        """Remove the file."""
        try:
            self._path(partition, sequence).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be removed: {error.strerror}") from error

    def sweep(self, partition: int) -> None:
        """Remove the files that were written aside and never renamed."""
        try:
            for aside in (self._root / str(partition)).glob(f"*{_ASIDE}"):
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be removed: {error.strerror}") from error

    def _path(self, partition: int, sequence: int) -> Path:
        return self._root / str(partition) / f"{sequence:020}.flux"


class FileSink:
    """A file written aside, flushed to disk, then renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_suffix(_ASIDE)
        try:
            path.parent.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            path.parent.mkdir(_FOLDER_MODE, exist_ok=True)
            self._file = os.fdopen(os.open(self._aside, _WRITE, _FILE_MODE), "wb")
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be written: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        """Add bytes."""
        try:
            self._file.write(data)
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be written: {error.strerror}") from error

    def commit(self) -> None:
        """Flush, rename, and flush the folder, so that the name survives a power cut."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._aside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be written: {error.strerror}") from error

    def abort(self) -> None:
        """Remove the unfinished file."""
        with suppress(OSError):  # a full disk refuses even the rest of what is thrown away here
            self._file.close()
        self._aside.unlink(missing_ok=True)
