"""Snapshots on a simulated disk, with the names and the faults of files.

What is written aside has one name per sequence, so two shards that write the same snapshot, one of them a
zombie, write into one file. Work for the disk is handed to threads, which a process takes with it when it
dies: what it wrote aside stays, whole or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from flux_actors.errors import Corrupt, Unavailable
from tests.simulation.chance import Chance


class _File:
    def __init__(self) -> None:
        self.data = bytearray()


class Disk:
    """What all shards see."""

    def __init__(self, seed: int) -> None:
        self.kept: dict[tuple[int, int], _File] = {}
        self.aside: dict[tuple[int, int], _File] = {}
        self.full = False
        self._chance = Chance(seed, "disk")

    def store(self) -> SimulatedStore:
        """Return the way of one shard to it."""
        return SimulatedStore(self)

    def damage(self) -> bool:
        """Change a byte of the newest snapshot of a partition; return whether there was one."""
        newest = dict(sorted(self.kept))
        if not newest:
            return False
        partition = self._chance.choice(sorted(newest))
        data = self.kept[partition, newest[partition]].data
        data[self._chance.randrange(len(data))] ^= 0xFF
        return True


class SimulatedStore:
    """A `SnapshotStore` on the disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def begin(self, partition: int, sequence: int) -> SimulatedSink:
        """Return a sink that writes aside and renames."""
        return SimulatedSink(self._disk, (partition, sequence))

    def sequences(self, partition: int) -> list[int]:
        """Return what is there, newest first."""
        return sorted((found for of, found in self._disk.kept if of == partition), reverse=True)

    def read(self, partition: int, sequence: int) -> Iterator[bytes]:
        """Yield the bytes."""
        file = self._disk.kept.get((partition, sequence))
        if file is None:
            raise Corrupt(f"there is no snapshot {sequence} of partition {partition}")
        yield bytes(file.data)

    def delete(self, partition: int, sequence: int) -> None:
        """Remove it."""
        self._disk.kept.pop((partition, sequence), None)

    def sweep(self, partition: int) -> None:
        """Remove what was written aside and never renamed."""
        for key in [key for key in self._disk.aside if key[0] == partition]:
            del self._disk.aside[key]


class SimulatedSink:
    """A file written aside, then renamed."""

    def __init__(self, disk: Disk, key: tuple[int, int]) -> None:
        self._disk = disk
        self._key = key
        self._place = 0
        self._file = disk.aside.setdefault(key, _File())
        self._check()
        self._file.data.clear()

    def write(self, data: bytes) -> None:
        """Add bytes at the place where this writer is."""
        self._check()
        end = self._place + len(data)
        if len(self._file.data) < end:
            self._file.data.extend(bytes(end - len(self._file.data)))
        self._file.data[self._place : end] = data
        self._place = end

    def commit(self) -> None:
        """Give it its name."""
        self._check()
        if self._disk.aside.get(self._key) is None:
            raise Unavailable("a snapshot cannot be written: No such file or directory")
        self._disk.kept[self._key] = self._disk.aside.pop(self._key)

    def abort(self) -> None:
        """Remove the unfinished file."""
        self._disk.aside.pop(self._key, None)

    def _check(self) -> None:
        if self._disk.full:
            raise Unavailable("a snapshot cannot be written: No space left on device")
