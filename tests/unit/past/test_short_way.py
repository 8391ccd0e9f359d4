"""The short way: from its own events an entity is told as the fold would tell it, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.past.short_way import entity_from
from flux_actors.past.target import ThroughPosition
from flux_api.history import events_at_positions
from tests.unit.domain.strategies import logs, many
from tests.unit.past.folding import Folding, place
from tests.unit.shard.hosting import event

IDS = st.sampled_from(["a/1", "a/2", "b/1", "plain"])


@many
@given(logs, IDS, st.integers(0, 9), st.integers(0, 5), st.integers(0, 6))
async def test_it_is_what_the_fold_says_or_nothing(log, entity_id, sequence, offset, kept):
    folding = await Folding.of(log)
    sequence = min(sequence, len(folding.blocks))
    actor = folding.state(len(folding.blocks)).entities.get(entity_id)
    places = actor.positions(0, 1 << 62, 1_000) if actor is not None else []
    target = ThroughPosition(place(sequence, offset))
    known = [(position, clock_us) for position, clock_us in places[:kept] if target.has(position, clock_us)]
    events = await events_at_positions(folding.log, 0, [position for position, _ in known])
    whole = len(places) <= kept
    found = entity_from(entity_id, known, events, whole=whole)
    expected = folding.seen_at(target.position, entity_id).get(entity_id)
    if found is None:
        assert not whole
    else:
        (row,) = found
        assert (None if row is None else (row.properties, row.position, row.updated_us)) == expected


@pytest.mark.parametrize(
    ("properties", "whole", "found"),
    [
        ([], True, (None,)),
        ([], False, None),
        ([{"a": 1}], False, None),
        ([{"a": 1}, {"__deleted__": True}], False, (None,)),
        ([{"a": 1}, {"__deleted__": True}, {"b": 1}], False, {"b": 1}),
        ([{"a": 1}, {}, None], True, {"a": 1}),
    ],
    ids=str,
)
def test_what_reaches_back_to_a_beginning_tells(properties, whole, found):
    events = [event("n/e", one) for one in properties][::-1]
    places = [(number, number) for number in range(len(events), 0, -1)]
    told = entity_from("n/e", places, events, whole=whole)
    assert (told[0].properties if isinstance(found, dict) else told) == found
