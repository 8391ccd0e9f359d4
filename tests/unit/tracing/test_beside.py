"""What stands beside a block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.tracing.beside import Beside, read_beside, text_beside

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@given(st.lists(st.builds(Beside, st.integers(0, 4_095), st.integers(1, 4_000), st.just(PARENT))))
def test_it_comes_back_as_it_was(followed):
    assert read_beside(text_beside(followed)) == followed


@given(st.text())
def test_any_text_can_be_read(text):
    for one in read_beside(text):
        assert text_beside([one]) in text


@pytest.mark.parametrize(
    "text", ["", ";", "0,1", f"0,1,{PARENT.upper()}", f"-1,1,{PARENT}", f"0,1,{PARENT}x", f"0,1,{PARENT}\n"]
)
def test_what_is_none_says_nothing(text):
    assert read_beside(text) == []


def test_what_is_broken_takes_nothing_else_down():
    assert read_beside(f"x;3,1,{PARENT};") == [Beside(3, 1, PARENT)]


def test_as_many_as_may_be_fit_into_a_header():
    most = [Beside(limits.block_events_max, limits.block_events_max, PARENT)] * limits.followed_max
    assert len(text_beside(most)) < limits.block_overhead_bytes_max - 1_000
