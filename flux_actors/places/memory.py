"""The in-memory twin of a place."""

from __future__ import annotations

from collections.abc import Iterator

from flux_actors.errors import Corrupt, Unavailable


class MemoryPlace:
    """Files in a dictionary; `away` makes it unreachable, `room` is how many more commits it takes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.away = False
        self.room: int | None = None

    def begin(self, name: str) -> MemorySink:
        """Return a sink."""
        self._check()
        return MemorySink(self, name)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the bytes."""
        self._check()
        if name not in self.files:
            raise Corrupt(f"{name} is not there")
        yield self.files[name]

    def names(self, folder: str) -> list[str]:
        """Return the files of a folder."""
        self._check()
        split = (name.rpartition("/") for name in self.files)
        return sorted(last for parent, _, last in split if parent == folder)

    def delete(self, name: str) -> None:
        """Forget it."""
        self._check()
        self.files.pop(name, None)

    def sweep(self, folder: str) -> None:  # noqa: ARG002 - what is not finished is in its sink alone
        """Nothing to remove."""
        self._check()

    def damage(self, name: str) -> None:
        """Change one byte in the middle."""
        data = bytearray(self.files[name])
        data[len(data) // 2] ^= 0xFF
        self.files[name] = bytes(data)

    def take(self, name: str, data: bytes) -> None:
        """Keep a file whose sink commits."""
        self._check()
        if self.room is not None:
            if not self.room:
                raise Unavailable(f"{name} cannot be written: no room")
            self.room -= 1
        self.files[name] = data

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the place cannot be reached")


class MemorySink:
    """A sink into a `MemoryPlace`."""

    def __init__(self, place: MemoryPlace, name: str) -> None:
        self._place = place
        self._name = name
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._parts.append(data)

    def commit(self) -> None:
        """Make it visible."""
        self._place.take(self._name, b"".join(self._parts))

    def abort(self) -> None:
        """Forget the parts."""
        self._parts.clear()
