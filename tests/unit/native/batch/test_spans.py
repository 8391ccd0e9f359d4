"""Spans: pieces are together what was cut, in order, and about equal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.native.batch.spans import Span, cut
from tests.unit.domain.strategies import many

LEAST = limits.history_piece_blocks_min


def span(first, last, partition=0):
    """Return whole blocks."""
    return Span(partition, pack(first, 0), pack(last + 1, 0))


positions = st.builds(pack, st.integers(1, 2_000), st.integers(0, limits.block_events_max - 1))
spans = st.lists(st.tuples(positions, positions).map(sorted), max_size=4).map(
    lambda pairs: [Span(number, first, end) for number, (first, end) in enumerate(pairs)]
)


@many
@given(spans, st.integers(1, 50))
def test_pieces_are_what_was_cut_without_a_gap(whole, pieces):
    found = cut(whole, pieces)
    assert all(piece.blocks for piece in found)
    for one in whole:
        own = [piece for piece in found if piece.partition == one.partition]
        assert bool(own) == (one.first < one.end)
        if own:
            assert (own[0].first, own[-1].end) == (one.first, one.end)
            assert all(before.end == after.first for before, after in pairwise(own))
            lengths = [piece.blocks for piece in own]
            assert max(lengths) - min(lengths) <= 1
            assert len(own) == 1 or min(lengths) > LEAST // 2
    assert len(found) <= pieces + len(whole)


def test_as_many_pieces_as_are_wanted():
    lengths = [piece.blocks for piece in cut([span(1, 8_000), span(1, 2_000, 1)], 10)]
    assert lengths == [1_000] * 10


def test_a_short_log_is_read_by_few_tasks():
    assert cut([span(1, LEAST), span(5, 5, 1)], 200) == [span(1, LEAST), span(5, 5, 1)]


def test_nothing_gives_no_piece():
    assert cut([Span(0, pack(1, 0), pack(1, 0))], 8) == []


@pytest.mark.parametrize(
    ("first", "end", "blocks"),
    [
        (pack(3, 0), pack(4, 0), (3, 3, 1)),
        (pack(3, 2), pack(4, 1), (3, 4, 2)),
        (pack(3, 2), pack(3, 2), (3, 3, 0)),
        (pack(3, 0), pack(3, 0), (3, 2, 0)),
    ],
)
def test_blocks_of_which_it_has_something(first, end, blocks):
    one = Span(0, first, end)
    assert (one.first_block, one.last_block, one.blocks) == blocks
