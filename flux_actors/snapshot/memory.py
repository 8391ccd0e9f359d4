"""The in-memory twin of the snapshot store."""

from __future__ import annotations

from collections.abc import Iterator

from flux_actors.errors import Corrupt


class MemorySnapshotStore:
    """The in-memory twin; `damage` changes a kept snapshot."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], bytes] = {}

    def begin(self, partition: int, sequence: int) -> MemorySink:
        """Return a sink."""
        return MemorySink(self._kept, (partition, sequence))

    def sequences(self, partition: int) -> list[int]:
        """Return what is there, newest first."""
        return sorted((key[1] for key in self._kept if key[0] == partition), reverse=True)

    def read(self, partition: int, sequence: int) -> Iterator[bytes]:
        """Yield the bytes."""
        if (partition, sequence) not in self._kept:
            raise Corrupt(f"there is no snapshot {sequence} of partition {partition}")
        yield self._kept[partition, sequence]

    def delete(self, partition: int, sequence: int) -> None:
        """Forget it."""
        self._kept.pop((partition, sequence), None)

    def sweep(self, partition: int) -> None:
        """Nothing to remove: what is not finished is in its sink alone."""

    def damage(self, partition: int, sequence: int) -> None:
        """Change one byte in the middle."""
        data = bytearray(self._kept[partition, sequence])
        data[len(data) // 2] ^= 0xFF
        self._kept[partition, sequence] = bytes(data)


class MemorySink:
    """A sink into a dictionary."""

    def __init__(self, kept: dict[tuple[int, int], bytes], key: tuple[int, int]) -> None:
        self._kept = kept
        self._key = key
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._parts.append(data)

    def commit(self) -> None:
        """Make it visible."""
        self._kept[self._key] = b"".join(self._parts)

    def abort(self) -> None:
        """Forget the parts."""
        self._parts.clear()
