from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.position import Packed, highest, pack, parse, text_of, text_of_all, unpack
from flux_actors.errors import Refused
from tests.unit.domain.strategies import few, many, value_or_400

PARTITIONS_MAX = 1024
sequences = st.integers(0, 10**15 - 1)
offsets = st.integers(0, 4_095)
positions = st.builds(pack, sequences, offsets)


@given(sequences, offsets)
@many
def test_packed_position_keeps_sequence_and_offset(sequence: int, offset: int) -> None:
    assert unpack(pack(sequence, offset)) == (sequence, offset)


@given(st.tuples(sequences, offsets), st.tuples(sequences, offsets))
@many
def test_packed_positions_order_as_the_log_does(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (pack(*one) < pack(*other)) == (one < other)


@given(st.dictionaries(st.integers(0, PARTITIONS_MAX - 1), positions, min_size=1, max_size=20))
@many
def test_text_of_positions_reads_back(expected: dict[int, Packed]) -> None:
    text = text_of_all(expected)
    assert parse(text, PARTITIONS_MAX) == expected
    assert parse(f' "{text}" ', PARTITIONS_MAX) == expected


@pytest.mark.parametrize("partitions", [256, PARTITIONS_MAX])
def test_text_that_speaks_of_every_partition_reads_back(partitions: int) -> None:
    expected = {partition: pack(123_456_789, 3_999) for partition in range(partitions)}
    assert parse(text_of_all(expected), partitions) == expected


def test_text_of_one_is_partition_sequence_and_offset() -> None:
    assert text_of(3, pack(17, 5)) == "3.17.5"
    assert text_of_all({1: pack(2, 0), 0: pack(9, 4_095)}) == "0.9.4095~1.2.0"


@given(st.lists(st.tuples(st.integers(0, 3), positions)))
@few
def test_highest_position_of_each_partition_is_kept(pairs: list[tuple[int, Packed]]) -> None:
    result = highest(pairs)
    assert set(result) == {partition for partition, _ in pairs}
    for partition, position in pairs:
        assert position <= result[partition]
    assert set(result.items()) <= set(pairs)


def test_text_that_names_a_partition_twice_means_the_higher_position() -> None:
    assert parse("0.2.0~0.1.7~1.1.1~0.1.9", 2) == {0: pack(2, 0), 1: pack(1, 1)}


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", '""', "*", "0", "1.2", "1.2.3.4", "a.b.c", "0.1.-1", "0.1.1~", "~0.1.1", "0.1.1~~0.1.2"),
        *("0.1.4096", "0.1.9999", "0.1.10000", "4.1.1", "0.1.1~4.1.1", "99999.1.1", "0.1.1,0.1.2", "0.1.1;"),
        *("0.1.1 0.1.2", "0. 1.1", "\u0660.1.1", "0x0.1.1", "0.1e3.1", "0.1.1\n0.1.1", "0.+1.1", 'W/"0.1.1"'),
        *(f"0.{10**15}.0", "0.1.1~" * 100_000, "9" * 100_000),
    ],
)
def test_text_that_is_no_position_is_a_400(text: str) -> None:
    with pytest.raises(Refused, match="Flux-Position") as caught:
        parse(text, 4)
    assert caught.value.status == 400


@given(st.text(st.sampled_from('0123456789.~" -'), max_size=24) | st.text(max_size=12))
@many
def test_any_text_is_a_position_of_this_log_or_a_400(text: str) -> None:
    found = value_or_400(lambda: parse(text, 4))
    if found is not None:
        assert found
        assert all(0 <= partition < 4 for partition in found)
        assert parse(text_of_all(found), 4) == found
