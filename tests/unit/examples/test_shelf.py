"""Which entity holds what of an agent's memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_memory.shelf import Shelf, shelf_of, thread_prefix

TEXT = st.text(max_size=20)


@given(TEXT, TEXT)
def test_contents_tell_their_shelf(thread, ns):
    shelf = Shelf("memory", thread, ns)
    assert shelf_of("memory", shelf.contents) == shelf
    assert shelf.contents.startswith(thread_prefix("memory", thread))
    assert shelf.contents.isascii()


@given(TEXT, TEXT, TEXT)
def test_nothing_else_on_a_shelf_is_taken_for_contents(thread, ns, name):
    shelf = Shelf("memory", thread, ns)
    for entity_id in (shelf.checkpoint(name), shelf.writes(name), shelf.value(name, name)):
        assert shelf_of("memory", entity_id) is None
        assert entity_id.startswith(f"{shelf.contents}/")


@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=2, unique=True))
def test_shelves_share_nothing(two):
    one, other = (Shelf("memory", thread, ns) for thread, ns in two)
    assert not other.contents.startswith(f"{one.contents}/")
    assert one.contents != other.contents


def test_a_thread_is_no_prefix_of_another():
    assert not thread_prefix("memory", "ann/2").startswith(thread_prefix("memory", "ann"))
