"""Patterns: what they name, and which of them may name the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.pattern import names, overlap, prefix_of

ids = st.text("ab/*", min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "prefix"), [("*", ""), ("a/*", "a/"), ("a/b/*", "a/b/"), ("a/b", None), ("ab*", None)]
)
def test_a_pattern_names_one_a_prefix_or_all(pattern, prefix):
    assert prefix_of(pattern) == prefix


@given(ids, ids, ids)
def test_two_that_name_the_same_entity_overlap(one, other, entity_id):
    if names(one, entity_id) and names(other, entity_id):
        assert overlap(one, other)
        assert overlap(other, one)


@pytest.mark.parametrize(("one", "other"), [("a/1", "a/2"), ("a/*", "b/*"), ("a/*", "b/1"), ("ab/*", "a/*")])
def test_two_that_name_nothing_in_common_do_not(one, other):
    assert not overlap(one, other)
    assert not overlap(other, one)
