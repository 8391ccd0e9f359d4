"""What differs from other stores; what is the same is in tests/contract."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.places.memory import MemoryPlace
from flux_actors.places.place import keep
from flux_actors.snapshot.placed import PlacedSnapshotStore


def test_snapshot_is_a_file_named_by_partition_and_sequence() -> None:
    place = MemoryPlace()
    sink = PlacedSnapshotStore(place).begin(3, 42)
    sink.write(b"data")
    sink.commit()
    assert place.files == {"3/00000000000000000042.flux": b"data"}


def test_other_files_of_the_place_are_no_snapshots() -> None:
    place = MemoryPlace()
    keep(place, "0/readme", b"x")
    assert PlacedSnapshotStore(place).sequences(0) == []


def test_place_that_is_away_is_unavailable() -> None:
    place = MemoryPlace()
    store = PlacedSnapshotStore(place)
    place.away = True
    for attempt in (
        lambda: store.begin(0, 1),
        lambda: store.sequences(0),
        lambda: list(store.read(0, 1)),
        lambda: store.delete(0, 1),
        lambda: store.sweep(0),
    ):
        with pytest.raises(Unavailable):
            attempt()
