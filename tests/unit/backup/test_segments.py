from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.backup.segments import MAGIC, decode_segment, encode_segment
from flux_actors.errors import Corrupt
from tests.unit.domain.strategies import few

BLOCKS = [b"one", b"", b"x" * 1_000]
DATA = encode_segment(3, 7, BLOCKS)


@given(st.lists(st.binary(max_size=50)), st.integers(0, 1_023), st.integers(1, 1 << 40))
@few
def test_blocks_are_given_back(blocks: list[bytes], partition: int, first: int) -> None:
    data = encode_segment(partition, first, blocks)
    assert decode_segment(data, partition, first, first + len(blocks) - 1) == blocks


@pytest.mark.parametrize("where", [(2, 7, 9), (3, 6, 8), (3, 7, 8), (3, 7, 10)])
def test_file_of_other_blocks_is_corrupt(where: tuple[int, int, int]) -> None:
    with pytest.raises(Corrupt, match="others than its name says"):
        decode_segment(DATA, *where)


@given(st.integers(0, len(DATA) - 1))
@few
def test_file_that_was_cut_short_is_corrupt(length: int) -> None:
    with pytest.raises(Corrupt):
        decode_segment(DATA[:length], 3, 7, 9)


def test_file_of_a_later_version_says_so() -> None:
    with pytest.raises(Corrupt, match="version 2"):
        decode_segment(MAGIC + b"\x00\x02" + DATA[10:], 3, 7, 9)


def test_file_of_something_else_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="no blocks"):
        decode_segment(b"?" * 100, 3, 7, 9)
