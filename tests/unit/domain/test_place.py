"""How far a reader is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.place import Place
from flux_actors.domain.position import highest, pack, parse, text_of_all
from flux_actors.errors import Refused

MOVES = st.lists(
    st.tuples(st.integers(0, 5), st.builds(pack, st.integers(0, 40), st.integers(0, 4_095))), max_size=20
)


@given(MOVES)
def test_it_is_the_highest_position_of_each_partition_in_order(moves):
    place = Place()
    for partition, position in moves:
        place.move(partition, position)
        assert place.has(partition, position)
    expected = highest(moves)
    assert place.text == text_of_all(expected)
    assert bool(place) is bool(moves)
    assert not any(place.has(partition, position + 1) for partition, position in expected.items())
    if moves:
        assert parse(place.text, 6) == expected
        assert Place.of(place.text).text == place.text


def test_a_text_that_is_no_position_is_refused():
    with pytest.raises(Refused):
        Place.of("yesterday")
