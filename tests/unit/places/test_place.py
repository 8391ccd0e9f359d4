from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.places.memory import MemoryPlace, MemorySink
from flux_actors.places.place import keep


def test_what_cannot_be_kept_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    aborted: list[MemorySink] = []
    monkeypatch.setattr(MemorySink, "abort", lambda sink: aborted.append(sink))  # noqa: PLW0108 - a method
    place = MemoryPlace()
    keep(place, "a", b"x")
    assert aborted == []
    place.room = 0
    with pytest.raises(Unavailable):
        keep(place, "b", b"x")
    assert len(aborted) == 1
    assert place.files == {"a": b"x"}
