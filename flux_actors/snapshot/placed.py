"""Snapshots in a place: S3, or whatever else holds files by name."""

from __future__ import annotations

from collections.abc import Iterator

from flux_actors.errors import Corrupt
from flux_actors.places.place import Place, Sink
from flux_actors.snapshot.naming import file_of, sequences_of


class PlacedSnapshotStore:
    """Snapshots as files `<partition>/<sequence>.flux`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def begin(self, partition: int, sequence: int) -> Sink:
        """Return a sink."""
        return self._place.begin(_name(partition, sequence))

    def sequences(self, partition: int) -> list[int]:
        """Return what is there, newest first."""
        return sequences_of(self._place.names(str(partition)))

    def read(self, partition: int, sequence: int) -> Iterator[bytes]:
        """Yield the file's bytes."""
        try:
            yield from self._place.read(_name(partition, sequence))
        except Corrupt:
            raise Corrupt(f"there is no snapshot {sequence} of partition {partition}") from None

    def delete(self, partition: int, sequence: int) -> None:
        """Remove the file."""
        self._place.delete(_name(partition, sequence))

    def sweep(self, partition: int) -> None:
        """Remove what was never finished."""
        self._place.sweep(str(partition))


def _name(partition: int, sequence: int) -> str:
    return f"{partition}/{file_of(sequence)}"
