"""Where snapshots are kept: the port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class SnapshotSink(Protocol):
    """A snapshot being written; nobody sees it before `commit`."""

    def write(self, data: bytes) -> None:
        """Add bytes."""
        ...

    def commit(self) -> None:
        """Make it durable and visible, all or nothing."""
        ...

    def abort(self) -> None:
        """Leave nothing behind."""
        ...


class SnapshotStore(Protocol):
    """Snapshots of partitions, named by their sequence.

    Every method raises `Unavailable` when the place cannot be read or written now.
    """

    def begin(self, partition: int, sequence: int) -> SnapshotSink:
        """Return a sink for a new snapshot."""
        ...

    def sequences(self, partition: int) -> list[int]:
        """Return the sequences of the kept snapshots, newest first."""
        ...

    def read(self, partition: int, sequence: int) -> Iterator[bytes]:
        """Yield a snapshot's bytes; `Corrupt` when there is none."""
        ...

    def delete(self, partition: int, sequence: int) -> None:
        """Forget a snapshot."""
        ...

    def sweep(self, partition: int) -> None:
        """Remove what snapshots left that a killed process never finished; nobody may be writing one."""
        ...


def keep_newest(store: SnapshotStore, partition: int, kept: int) -> None:
    """Forget all but the newest `kept` snapshots."""
    for sequence in store.sequences(partition)[kept:]:
        store.delete(partition, sequence)
