"""A place in a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flux_actors.errors import Corrupt, Unavailable
from flux_actors.places.aside import ASIDE, Aside

_CHUNK_BYTES: Final = 1 << 20


class FilePlace:
    """Files below `root`, for its owner alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, name: str) -> Aside:
        """Return a sink that writes aside and renames."""
        return Aside(self._root / name, name)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the file's bytes."""
        try:
            with (self._root / name).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise Corrupt(f"{name} is not there") from None
        except OSError as error:
            raise Unavailable(f"{name} cannot be read: {error.strerror}") from error

    def names(self, folder: str) -> list[str]:
        """Return the files of a folder."""
        try:
            return sorted(
                path.name
                for path in (self._root / folder).iterdir()
                if path.is_file() and path.suffix != ASIDE
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"{self._root / folder} cannot be read: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Remove the file."""
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{name} cannot be removed: {error.strerror}") from error

    def sweep(self, folder: str) -> None:
        """Remove the files that were written aside and never renamed."""
        try:
            for aside in (self._root / folder).glob(f"*{ASIDE}"):
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{self._root / folder} cannot be swept: {error.strerror}") from error
