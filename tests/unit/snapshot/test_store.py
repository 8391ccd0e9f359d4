from __future__ import annotations

import pytest

from flux_actors.snapshot.memory import MemorySnapshotStore
from flux_actors.snapshot.store import keep_newest


@pytest.mark.parametrize(("kept", "left"), [(0, []), (1, [30]), (3, [30, 20, 10]), (9, [30, 20, 10, 5])])
def test_all_but_the_newest_are_forgotten(kept: int, left: list[int]) -> None:
    store = MemorySnapshotStore()
    for partition, sequence in [(0, 20), (0, 5), (0, 30), (0, 10), (1, 1)]:
        store.begin(partition, sequence).commit()
    keep_newest(store, 0, kept)
    assert store.sequences(0) == left
    assert store.sequences(1) == [1]
