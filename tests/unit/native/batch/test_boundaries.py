"""Boundaries: the first block that has reached a time, however the clocks of blocks are out of order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.clock import iso_of
from flux_actors.domain.position import Packed, pack, text_of
from flux_actors.errors import Refused
from flux_actors.log.memory import MemoryLog
from flux_actors.native.batch.boundaries import Boundary, first_at, read_boundary, span_between
from flux_actors.native.batch.spans import Span
from tests.unit.domain.strategies import many
from tests.unit.native.batch.writing import SECOND_US, event, log_of_clocks, write

DISORDER_S = limits.history_disorder_s
TORN = b"FX\x01 torn"


def found_at(log, time_s):
    async def find():
        return await first_at(log, 0, await log.bounds(0), int(time_s * SECOND_US))

    return asyncio.run(find())


def span(log, since=None, until=None, partition=0):
    def boundary(text, name):
        return None if text is None else read_boundary(text, name)

    return asyncio.run(span_between(log, partition, boundary(since, "since"), boundary(until, "until")))


def at(time_s):
    return iso_of(int(time_s * SECOND_US))


# Blocks come in the order of their arrival; the clock of each is behind by what retries and skew may take.
arrivals = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, int(DISORDER_S) - 1)), min_size=1, max_size=40
)


@many
@given(arrivals, st.integers(0, 900))
def test_a_time_is_found_where_the_first_block_has_reached_it(steps, time_s):
    clocks, arrived = [], 100
    for pause_s, late_s in steps:
        arrived += pause_s
        clocks.append(arrived - late_s)
    expected = next((n for n, clock_s in enumerate(clocks, 1) if clock_s >= time_s), len(clocks) + 1)
    assert found_at(log_of_clocks(clocks), time_s) == expected


def test_a_late_block_does_not_lead_the_search_astray():
    # Halving alone looks at block 4 first, which was sent again, and would find block 6.
    assert found_at(log_of_clocks([10, 20, 30, 19, 19.5, 40, 50]), 30) == 3


def test_what_is_no_block_stands_at_no_time():
    log = log_of_clocks([10, 20])
    asyncio.run(log.append(0, TORN, "torn", 1.0))
    assert found_at(log, 15) == 2
    assert found_at(log, 25) == 4


async def test_few_blocks_are_looked_at():
    log = MemoryLog(1)
    for number in range(2_000):
        await write(log, [event("a/1")], number * 60 * SECOND_US)
    read, asked = log.block, []

    async def block(partition, sequence):
        asked.append(sequence)
        return await read(partition, sequence)

    log.block = block
    assert await first_at(log, 0, await log.bounds(0), 1_000 * 60 * SECOND_US) == 1_001
    assert len(asked) < 30


def test_times_that_follow_each_other_share_the_log():
    log = log_of_clocks([10, 20, 15, 30, 25, 40])
    parts = [span(log, since, until) for since, until in [(None, at(20)), (at(20), at(30)), (at(30), None)]]
    assert [(part.first_block, part.last_block) for part in parts] == [(1, 1), (2, 3), (4, 6)]


def test_positions_that_follow_each_other_share_the_log():
    log = log_of_clocks([1, 2, 3])
    middle = text_of(0, pack(2, 5))
    assert span(log, until=middle) == Span(0, pack(1, 0), Packed(pack(2, 5) + 1))
    assert span(log, since=middle) == Span(0, Packed(pack(2, 5) + 1), pack(4, 0))


def test_a_partition_that_positions_do_not_name_is_read_whole():
    assert span(log_of_clocks([1, 2]), since="7.1.0", until="7.2.0") == Span(0, pack(1, 0), pack(3, 0))


@pytest.mark.parametrize(("since", "until"), [(at(90), None), (at(3), at(2)), ("0.3.0", "0.1.0")])
def test_nothing_between_is_an_empty_span(since, until):
    assert span(log_of_clocks([1, 2, 3]), since, until).blocks == 0


def test_an_empty_log_is_an_empty_span():
    assert span(MemoryLog(1)).blocks == 0
    assert span(MemoryLog(1), since=at(1)).blocks == 0


@pytest.mark.parametrize("since", [at(15), at(20), "0.1.0", "0.2.3999"])
def test_a_log_that_was_trimmed_behind_since_is_refused(since):
    log = log_of_clocks([10, 20, 30, 40])
    log.trim(0, 3)
    with pytest.raises(Refused, match=f"begins at {at(30)[:10]}") as refused:
        span(log, since=since)
    assert refused.value.status == 410
    assert span(log) == Span(0, pack(3, 0), pack(5, 0))


@pytest.mark.parametrize(
    ("since", "first"), [(at(35), pack(4, 0)), ("0.3.0", pack(3, 1)), ("0.2.4095", pack(3, 0))]
)
def test_a_trimmed_log_is_read_from_what_it_holds_on(since, first):
    log = log_of_clocks([10, 20, 30, 40])
    log.trim(0, 3)
    assert span(log, since=since) == Span(0, first, pack(5, 0))


def test_a_log_that_forgot_everything_is_refused():
    log = log_of_clocks([10, 20])
    log.trim(0, 3)
    with pytest.raises(Refused, match="holds nothing any more"):
        span(log, since=at(5))


@pytest.mark.parametrize("texts", [{"since": "0.4.0"}, {"until": "0.9.0"}])
def test_a_position_that_the_log_does_not_reach_is_refused(texts):
    with pytest.raises(Refused, match="ends with block 3"):
        span(log_of_clocks([1, 2, 3]), **texts)


def test_texts():
    assert read_boundary("1970-01-01T00:00:01Z", "since") == Boundary(SECOND_US, {})
    assert read_boundary("1.2.3~4.5.6", "since") == Boundary(None, {1: pack(2, 3), 4: pack(5, 6)})


@pytest.mark.parametrize("text", ["yesterday", "", "1.2", "2030-01-01", "2030-01-01T25:00:00Z"])
def test_other_texts_are_refused(text):
    with pytest.raises(Refused, match="until must be an RFC 3339 time"):
        read_boundary(text, "until")
