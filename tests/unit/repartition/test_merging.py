"""Merging: by clocks, and nothing before it is sure to be the earliest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_actors.log.block import block_clock_and_count, encode_block
from flux_actors.log.ports import StoredBlock
from flux_actors.repartition.merging import FOR_EVER, Merge
from tests.unit.domain.strategies import many


def blocks(*clocks_us: int) -> list[StoredBlock]:
    data = [encode_block(1, number, clock_us, [b"\xc0"]) for number, clock_us in enumerate(clocks_us, 1)]
    return [StoredBlock(sequence, one, 0) for sequence, one in enumerate(data, 1)]


def taken(merge: Merge) -> list[tuple[int, int]]:
    return [(partition, block.sequence) for partition, block in merge.take()]


def test_blocks_go_in_the_order_of_their_clocks():
    merge = Merge(2)
    merge.add(0, blocks(10, 30))
    merge.add(1, blocks(20, 40))
    assert taken(merge) == [(0, 1), (1, 1), (0, 2)]  # of partition 0 an earlier one may come yet
    assert (len(merge), merge.waiting(1)) == (1, 1)
    merge.end(0, FOR_EVER)
    assert taken(merge) == [(1, 2)]


def test_a_partition_that_was_at_its_end_a_while_ago_holds_nobody_up_before_that():
    merge = Merge(2)
    merge.add(0, blocks(10, 30))
    assert taken(merge) == []
    merge.end(1, 20)
    assert taken(merge) == [(0, 1)]
    merge.end(1, 15)  # looked at later, and known already
    merge.end(1, 31)
    assert taken(merge) == [(0, 2)]


def test_a_log_whose_clock_stood_still_has_the_time_of_the_blocks_before():
    merge = Merge(2)
    merge.add(0, blocks(50, 10))
    merge.add(1, blocks(20, 60))
    assert taken(merge) == [(1, 1), (0, 1), (0, 2)]


def test_what_is_no_block_has_no_time_of_its_own():
    merge = Merge(1)
    merge.add(0, [*blocks(50), StoredBlock(2, b"none", 0)])
    merge.end(0, 51)
    assert taken(merge) == [(0, 1), (0, 2)]


@many
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=4))
def test_all_go_once_in_order_and_no_clock_goes_back(clocks):
    merge = Merge(len(clocks))
    for partition, some in enumerate(clocks):
        merge.add(partition, blocks(*some))
        merge.end(partition, FOR_EVER)
    highest, told = [-1] * len(clocks), []
    seen: list[list[int]] = [[] for _ in clocks]
    for partition, block in merge.take():
        highest[partition] = max(highest[partition], block_clock_and_count(block.data)[0])
        told.append(highest[partition])
        seen[partition].append(block.sequence)
    assert told == sorted(told)
    assert seen == [list(range(1, len(some) + 1)) for some in clocks]
