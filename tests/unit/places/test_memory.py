"""What the twin does beside what every place does."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.places.memory import MemoryPlace
from flux_actors.places.place import keep


def test_damage_changes_one_byte() -> None:
    place = MemoryPlace()
    keep(place, "a", b"abc")
    place.damage("a")
    assert len(place.files["a"]) == 3
    assert place.files["a"] != b"abc"


def test_place_that_is_away_is_unavailable() -> None:
    place = MemoryPlace()
    keep(place, "a", b"abc")
    sink = place.begin("b")
    place.away = True
    for attempt in (
        lambda: place.begin("c"),
        lambda: list(place.read("a")),
        lambda: place.names(""),
        lambda: place.delete("a"),
        lambda: place.sweep(""),
        sink.commit,
    ):
        with pytest.raises(Unavailable):
            attempt()
