"""The block in which a target stands: decided as a whole, shown as far as it counts."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors.domain.event import TermedEvent
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import ABSENT, PRESENT, Terms
from flux_actors.log.block import Block
from flux_actors.past.cutting import apply_up_to
from tests.unit.past.folding import place, seen
from tests.unit.shard.hosting import event


def termed(entity_id, properties, **terms):
    return msgspec.convert(
        [*msgspec.to_builtins(event(entity_id, properties)), Terms(**terms)], TermedEvent, strict=False
    )


def cut(events, offset, *, has_terms=False):
    """Apply one block before, then this one up to an offset; return what is seen of each entity."""
    state = PartitionState(0)
    state.apply([(1, Block(1, 1, 1, [event("n/old", {"v": 1})]))])
    apply_up_to(state, 2, Block(1, 2, 2, events, has_terms), place(2, offset))
    assert state.sequence == 2
    return {name: properties for name, (properties, _, _) in seen(state).items()}


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        (0, {"n/old": {"v": 1}, "n/new": {"v": 2}}),
        (1, {"n/old": {"v": 1, "w": 3}, "n/new": {"v": 2}}),
        (2, {"n/new": {"v": 2}}),
        (3, {"n/old": {"x": 4}, "n/new": {"v": 2}}),
        (9, {"n/old": {"x": 4}, "n/new": {"v": 2}}),
    ],
)
def test_events_count_as_far_as_the_position(offset, found):
    deletion = {"__deleted__": True}
    bodies = [("n/new", {"v": 2}), ("n/old", {"w": 3}), ("n/old", deletion), ("n/old", {"x": 4})]
    assert cut([event(*body) for body in bodies], offset) == found


@pytest.mark.parametrize(("condition", "applies"), [(PRESENT, True), (ABSENT, False)])
def test_an_atomic_batch_is_decided_as_a_whole_though_the_position_is_in_its_middle(condition, applies):
    group = [termed("n/new", {"v": 2}, together=2), termed("n/old", {"v": 9}, condition=condition)]
    found = cut(group, 0, has_terms=True)
    assert found == {"n/old": {"v": 1}} | ({"n/new": {"v": 2}} if applies else {})
    assert (cut(group, 1, has_terms=True)["n/old"] == {"v": 9}) is applies


def test_an_entity_has_the_place_and_time_of_its_last_event_that_counts():
    state = PartitionState(0)
    block = Block(1, 1, 7, [event("n/e", {"v": 1}), event("n/e", {"v": 2}), event("n/none")])
    apply_up_to(state, 1, block, place(1, 0))
    assert seen(state) == {"n/e": ({"v": 1}, place(1, 0), 7)}
