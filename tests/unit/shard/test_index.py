"""The id index: lists by page, exact whatever comes and goes between the pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.entity import EntityActor
from flux_actors.domain.fold import PartitionState
from flux_actors.shard.index import IdIndex

IDS = st.lists(st.text("ab/", min_size=1, max_size=4), unique=True, max_size=12)


def state_of(living, dead=()):
    state = PartitionState(0)
    for entity_id in [*living, *dead]:
        actor = EntityActor(entity_id, 0)
        actor.properties = {"v": 1} if entity_id in living else None
        state.adopt(actor)
    return state


def pages(index, prefix, limit):
    after, found = None, []
    while True:
        before = after
        rows, after = index.page(prefix, before, limit)
        assert len(rows) <= limit
        assert before is None or after is None or before < after
        found += [row.entity_id for row in rows]
        if after is None:
            return found


@given(IDS, st.text("ab/", max_size=2), st.integers(1, 4), st.data())
def test_pages_are_the_living_ids_of_the_prefix_in_order(ids, prefix, limit, data):
    dead = set(data.draw(st.lists(st.sampled_from(ids), max_size=3)) if ids else [])
    living = [entity_id for entity_id in ids if entity_id not in dead]
    index = IdIndex(state_of(living, dead))
    expected = sorted(entity_id for entity_id in living if entity_id.startswith(prefix))
    assert pages(index, prefix, limit) == expected
    assert list(index.living_ids(prefix)) == expected
    assert index.count(prefix) == len(expected)


def test_ids_that_come_between_two_pages_are_found_in_their_place():
    state = state_of(["n/a", "n/c"])
    index = IdIndex(state)
    rows, after = index.page("n/", None, 1)
    for entity_id in ("n/b", "n/0"):
        state.adopt(state_of([entity_id]).entities[entity_id])
    rest, end = index.page("n/", after, 10)
    assert [row.entity_id for row in rows + rest] == ["n/a", "n/b", "n/c"]
    assert end is None


def test_an_entity_that_dies_is_no_longer_listed_and_one_that_returns_is():
    state = state_of(["n/a", "n/b"])
    index = IdIndex(state)
    assert index.count("n/") == 2
    state.entities["n/a"].properties = None
    assert list(index.living_ids("n/")) == ["n/b"]
    state.entities["n/a"].properties = {"v": 2}
    assert [row.properties for row in index.page("n/", None, 10)[0]] == [{"v": 2}, {"v": 1}]


def test_a_page_of_the_dead_alone_ends_the_list():
    assert IdIndex(state_of([], ["n/a", "n/b"])).page("n/", None, 1) == ([], None)


def test_counting_everything_asks_nobody():
    state = state_of(["n/a", "m/b"], ["n/c"])
    assert IdIndex(state).count("") == state.alive == 2
