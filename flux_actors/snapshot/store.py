"""Where snapshots are kept: the port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flux_actors.places.place import Sink


class SnapshotStore(Protocol):
    """Snapshots of partitions, named by their sequence.

    Every method raises `Unavailable` when the place cannot be read or written now.
    """

    def begin(self, partition: int, sequence: int) -> Sink:
        """Return a sink for a new snapshot, which nobody sees before its `commit`."""
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
