"""The port: files by name, whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Sink(Protocol):
    """A file being written; nobody sees it before `commit`."""

    def write(self, data: bytes) -> None:
        """Add bytes."""
        ...

    def commit(self) -> None:
        """Make it durable and visible, all or nothing."""
        ...

    def abort(self) -> None:
        """Leave nothing behind."""
        ...


class Place(Protocol):
    """Files by name; the parts of a name are joined by `/`.

    Every method raises `Unavailable` when the place cannot be read or written now.
    """

    def begin(self, name: str) -> Sink:
        """Return a sink for a file, which takes the place of one of that name."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes; `Corrupt` when there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of the files that stand in a folder itself, without the folder's, sorted."""
        ...

    def delete(self, name: str) -> None:
        """Forget a file; one that is not there does no harm."""
        ...

    def sweep(self, folder: str) -> None:
        """Remove what killed processes left unfinished in a folder; nobody may be writing there."""
        ...


def keep(place: Place, name: str, data: bytes) -> None:
    """Keep a file of which all bytes are at hand."""
    sink = place.begin(name)
    try:
        sink.write(data)
        sink.commit()
    except BaseException:
        sink.abort()
        raise
