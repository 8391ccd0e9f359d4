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


def pages(index, prefix, ids_max):
    index.refresh()
    after, found = None, []
    while True:
        before = after
        actors, after = index.living(prefix, before, ids_max)
        assert len(actors) <= ids_max
        assert before is None or after is None or before < after
        found += [actor.entity_id for actor in actors]
        if after is None:
            return found


@given(IDS, st.text("ab/", max_size=2), st.integers(1, 4), st.data())
def test_pages_are_the_living_ids_of_the_prefix_in_order(ids, prefix, ids_max, data):
    dead = set(data.draw(st.lists(st.sampled_from(ids), max_size=3)) if ids else [])
    living = [entity_id for entity_id in ids if entity_id not in dead]
    index = IdIndex(state_of(living, dead))
    expected = sorted(entity_id for entity_id in living if entity_id.startswith(prefix))
    assert pages(index, prefix, ids_max) == expected


def test_ids_that_come_between_two_pages_are_found_in_their_place():
    state = state_of(["n/a", "n/c"])
    index = IdIndex(state)
    index.refresh()
    actors, after = index.living("n/", None, 1)
    for entity_id in ("n/b", "n/0"):
        state.adopt(state_of([entity_id]).entities[entity_id])
    index.refresh()
    rest, end = index.living("n/", after, 10)
    assert [actor.entity_id for actor in actors + rest] == ["n/a", "n/b", "n/c"]
    assert end is None


def test_an_entity_that_dies_is_no_longer_listed_and_one_that_returns_is():
    state = state_of(["n/a", "n/b"])
    index = IdIndex(state)
    assert pages(index, "n/", 10) == ["n/a", "n/b"]
    state.entities["n/a"].properties = None
    assert pages(index, "n/", 10) == ["n/b"]
    state.entities["n/a"].properties = {"v": 2}
    assert [actor.properties for actor in index.living("n/", None, 10)[0]] == [{"v": 2}, {"v": 1}]


def test_a_page_of_the_dead_alone_says_where_to_go_on():
    index = IdIndex(state_of(["n/c"], ["n/a", "n/b"]))
    index.refresh()
    assert index.living("n/", None, 1) == ([], "n/a")
    assert index.living("n/", "n/a", 1) == ([], "n/b")


def test_it_ends_with_the_last_id_of_the_prefix_without_another_look():
    index = IdIndex(state_of(["n/a", "n/b", "o"]))
    index.refresh()
    assert index.living("n/", None, 2)[1] is None
    assert index.living("n/", None, 1)[1] == "n/a"
