"""The ring of feed messages: whole and in order, or openly incomplete."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.shard.ring import FeedRing, KeptMessage


def ring_of(*spans):
    ring = FeedRing()
    for after, sequence in spans:
        ring.add(KeptMessage(after, sequence, f"{after}-{sequence}".encode()))
    return ring


def test_it_returns_exactly_what_came_behind_a_place():
    ring = ring_of((0, 2), (2, 3), (3, 7))
    assert ring.since(0, 7) == [b"0-2", b"2-3", b"3-7"]
    assert ring.since(2, 7) == [b"2-3", b"3-7"]
    assert ring.since(3, 7) == [b"3-7"]


def test_a_place_inside_a_message_gets_that_message_whole():
    assert ring_of((0, 2), (2, 7)).since(1, 7) == [b"0-2", b"2-7"]


def test_who_has_everything_gets_nothing():
    assert ring_of((0, 2)).since(2, 2) == []
    assert FeedRing().since(5, 5) == []
    assert FeedRing().since(9, 5) == []


def test_it_says_so_when_the_oldest_wanted_are_gone():
    assert ring_of((3, 4)).since(2, 4) is None
    assert FeedRing().since(0, 1) is None


def test_it_says_so_when_the_newest_wanted_were_never_kept():
    assert ring_of((0, 2)).since(1, 3) is None


def test_a_gap_makes_all_before_it_useless():
    ring = ring_of((0, 2), (4, 5))
    assert ring.since(0, 5) is None
    assert ring.since(4, 5) == [b"4-5"]


def test_the_oldest_go_when_it_is_full(monkeypatch):
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 7)
    ring = ring_of((0, 1), (1, 2), (2, 3))
    assert ring.since(0, 3) is None
    assert ring.since(1, 3) == [b"1-2", b"2-3"]


def test_one_message_is_kept_however_large(monkeypatch):
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 1)
    assert ring_of((0, 1), (1, 2)).since(1, 2) == [b"1-2"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(0, 100))
def test_whatever_it_returns_covers_the_missing_part_without_a_gap(steps, place):
    ends = [sum(steps[:number]) for number in range(len(steps) + 1)]
    found = ring_of(*pairwise(ends)).since(place, ends[-1])
    assert found is not None
    spans = [tuple(map(int, data.split(b"-"))) for data in found]
    if place >= ends[-1]:
        assert spans == []
    else:
        assert spans[0][0] <= place < spans[0][1]
        assert [after for after, _ in spans[1:]] == [sequence for _, sequence in spans[:-1]]
        assert spans[-1][1] == ends[-1]
