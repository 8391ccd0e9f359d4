"""Snapshots on files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flux_actors.errors import Corrupt, Unavailable
from flux_actors.places.aside import ASIDE, Aside
from flux_actors.snapshot.naming import file_of, sequences_of

_CHUNK_BYTES: Final = 1 << 20


class FileSnapshotStore:
    """Snapshots as files `<root>/<partition>/<sequence>.flux`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, partition: int, sequence: int) -> Aside:
        """Return a sink that writes aside and renames."""
        return Aside(self._path(partition, sequence), "a snapshot")

    def sequences(self, partition: int) -> list[int]:
        """Return what is there, newest first."""
        try:
            names = [path.name for path in (self._root / str(partition)).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"snapshots cannot be read: {error.strerror}") from error
        return sequences_of(names)

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
            for aside in (self._root / str(partition)).glob(f"*{ASIDE}"):
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"a snapshot cannot be removed: {error.strerror}") from error

    def _path(self, partition: int, sequence: int) -> Path:
        return self._root / str(partition) / file_of(sequence)
