"""A place that fsspec reaches by a URL: S3 and what speaks like it, and the other stores that fsspec knows.

A file is written to this machine's disk first and goes up whole, on `commit`: an object store shows an object
when all of it is there, and an upload that fails leaves nothing that could be taken for one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Final

import fsspec

from flux_actors.errors import Corrupt, Refused, Unavailable

_CHUNK_BYTES: Final = 4 << 20


class RemotePlace:
    """Files below a URL such as `s3://bucket/prefix`.

    Raises:
        Refused: fsspec does not know the scheme, or lacks the package that it needs for it.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0]
        try:
            self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise Refused(
                f"{scheme}:// needs a package that is not installed ({error}); for S3 install s3fs, or "
                "flux-actors[s3]"
            ) from None
        except ValueError as error:
            raise Refused(f"{url[:200]!r} is no place: {error}") from None
        self._root: str = root.rstrip("/")
        self._scheme = scheme

    def begin(self, name: str) -> RemoteSink:
        """Return a sink that goes up when it is committed."""
        return RemoteSink(self, name)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the object's bytes."""
        try:
            with self._files.open(self._path(name), "rb", block_size=_CHUNK_BYTES) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise Corrupt(f"{name} is not there") from None
        except Exception as error:  # each of fsspec's stores raises errors of its own
            raise self._unavailable(f"{name} cannot be read", error) from error

    def names(self, folder: str) -> list[str]:
        """Return the objects of a folder."""
        try:
            found: list[dict[str, Any]] = self._files.ls(self._path(folder), detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._unavailable(f"{folder} cannot be listed", error) from error
        return sorted(row["name"].rpartition("/")[2] for row in found if row["type"] == "file")

    def delete(self, name: str) -> None:
        """Remove the object."""
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._unavailable(f"{name} cannot be removed", error) from error

    def sweep(self, folder: str) -> None:
        """Nothing to remove: what is not finished is a file without a name on the disk of who writes it."""

    def upload(self, name: str, file: str) -> None:
        """Send up a file of this machine."""
        path = self._path(name)
        try:
            try:
                self._files.put_file(file, path)
            except FileNotFoundError:  # a store that has folders
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.put_file(file, path)
        except Exception as error:
            raise self._unavailable(f"{name} cannot be written", error) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _unavailable(self, what: str, error: Exception) -> Unavailable:
        lines = str(error).strip().splitlines() or [""]
        return Unavailable(f"{what} ({self._scheme}: {type(error).__name__}: {lines[0][:200]})")


class RemoteSink:
    """A file on its way to a `RemotePlace`."""

    def __init__(self, place: RemotePlace, name: str) -> None:
        self._place = place
        self._name = name
        # Its name goes with the process that is not killed; what it holds is for its owner alone (0600).
        self._file = tempfile.NamedTemporaryFile(prefix="flux-")  # noqa: SIM115 - it ends with its sink

    def write(self, data: bytes) -> None:
        """Add bytes."""
        try:
            self._file.write(data)
        except OSError as error:
            raise Unavailable(f"{self._name} cannot be written: {error.strerror}") from error

    def commit(self) -> None:
        """Send it up."""
        try:
            self._file.flush()
            self._place.upload(self._name, self._file.name)
        except OSError as error:
            raise Unavailable(f"{self._name} cannot be written: {error.strerror}") from error
        self._file.close()

    def abort(self) -> None:
        """Forget it."""
        self._file.close()
