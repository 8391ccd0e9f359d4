from __future__ import annotations

import pytest

from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.memory import MemorySnapshotStore


def test_damaged_snapshot_does_not_verify() -> None:
    store = MemorySnapshotStore()
    sink, cut = store.begin(0, 1), Cut(PartitionState(0), "log")
    for part in iter(cut.next_slice, None):
        sink.write(part)
    sink.commit()
    read_snapshot(store.read(0, 1))
    store.damage(0, 1)
    with pytest.raises(Corrupt):
        read_snapshot(store.read(0, 1))
