"""What patterns name, and which of several are needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.pattern import names, overlap, prefix_of, widest

PATTERNS = st.sampled_from(["*", "a/*", "a/b/*", "ab/*", "a", "a/b", "a/b/c", "ab/c", "b", "/*", "/"])
IDS = st.sampled_from(["a", "a/", "a/b", "a/b/", "a/b/c", "ab/c", "b", "/", "/x", "x"])


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("*", ""), ("a/*", "a/"), ("a/b/*", "a/b/"), ("a", None), ("a*", None), ("/*", "/")],
)
def test_how_the_ids_begin_that_a_pattern_names(pattern, prefix):
    assert prefix_of(pattern) == prefix


@given(PATTERNS, PATTERNS, IDS)
def test_patterns_that_both_name_an_id_overlap(one, other, entity_id):
    if names(one, entity_id) and names(other, entity_id):
        assert overlap(one, other)


@given(st.lists(PATTERNS, max_size=5), IDS)
def test_the_widest_name_the_same_ids_each_once(patterns, entity_id):
    wide = widest(patterns)
    assert set(wide) <= set(patterns)
    assert sum(names(one, entity_id) for one in wide) == any(names(one, entity_id) for one in patterns)
