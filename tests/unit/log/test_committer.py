"""Group commit: one block in flight, everything that waits in the next, within its bounds."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.position import pack, unpack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import HEADER, decode_block, encode_event, event_at
from flux_actors.log.committer import Committer
from tests.unit.domain.strategies import few
from tests.unit.log.virtual_clock import on_virtual_clock, settled
from tests.unit.log.watched_log import IDENTITY, WatchedLog, event, now_s, outcome_of, publish


@on_virtual_clock
async def test_idle_committer_sends_at_once_and_tells_the_position(
    log: WatchedLog, committer: Committer
) -> None:
    assert await committer.commit([event("one")]) == [pack(1, 0)]
    assert await committer.commit([event("two"), event("three")]) == [pack(2, 0), pack(2, 1)]
    assert now_s() == 0
    first = decode_block(await log.block(0, 1))
    assert (first.committer, first.number, first.clock_us) == (IDENTITY, 1, 7)
    assert (committer.blocks_total, committer.events_total) == (2, 3)


@on_virtual_clock
async def test_all_that_waits_goes_as_one_block_behind_the_one_in_flight(
    log: WatchedLog, committer: Committer
) -> None:
    log.gate.clear()
    first = publish(committer, "first")
    await settled()
    others = [publish(committer, f"e{number}") for number in range(100)]
    await settled()
    assert len(log.tries) == 1
    log.gate.set()
    assert await first == [pack(1, 0)]
    assert [await outcome_of(other) for other in others] == [pack(2, offset) for offset in range(100)]
    assert await log.names() == [["first"], [f"e{number}" for number in range(100)]]


@on_virtual_clock
async def test_publish_of_nothing_is_answered_without_a_block(log: WatchedLog, committer: Committer) -> None:
    assert await committer.commit([]) == []
    assert log.tries == []


@given(st.lists(st.lists(st.integers(0, 90), max_size=9), min_size=1, max_size=9), st.integers(0, 3))
@few
def test_whatever_is_published_lands_whole_in_order_and_in_blocks_within_their_limits(
    publishes: list[list[int]], lost_acks: int
) -> None:
    @on_virtual_clock
    async def run() -> None:
        log = WatchedLog()
        log.lose_acks = lost_acks
        committer = Committer(log, 0, IDENTITY, lambda: 7)
        groups = [
            [event(f"{number}.{index}", size) for index, size in enumerate(sizes)]
            for number, sizes in enumerate(publishes)
        ]
        results = await asyncio.gather(*map(committer.commit, groups))
        stored = [data for _, data in log.tries]
        for data in stored:
            events = decode_block(data).events
            assert len(events) <= limits.block_events_max
            assert len(data) - HEADER.size - 5 <= limits.block_bytes_max or len(events) == 1
        assert log.in_flight_max == (1 if any(groups) else 0)
        for group, outcomes in zip(groups, results, strict=True):
            assert len(outcomes) == len(group)
            for encoded, position in zip(group, outcomes, strict=True):
                assert not isinstance(position, Unavailable)
                sequence, offset = unpack(position)
                assert encode_event(event_at(await log.block(0, sequence), offset)) == encoded
        landed = [name for block in await log.names() for name in block]
        assert landed == [f"{n}.{i}" for n, sizes in enumerate(publishes) for i in range(len(sizes))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "block_events_max", 4)
        patch.setattr(limits, "block_bytes_max", 120)
        run()


@on_virtual_clock
async def test_block_ends_at_4000_events_and_a_publish_may_reach_into_the_next(
    log: WatchedLog, committer: Committer
) -> None:
    outcomes = await committer.commit([event(str(number)) for number in range(4_001)])
    assert outcomes[3_999:] == [pack(1, 3_999), pack(2, 0)]
    assert [len(block) for block in await log.names()] == [4_000, 1]


@on_virtual_clock
async def test_block_ends_at_512_kib_and_a_larger_event_goes_alone(
    log: WatchedLog, committer: Committer
) -> None:
    half = limits.block_bytes_max // 2 - 200
    await committer.commit([event(name, half) for name in "abc"])
    await committer.commit([event("large", limits.block_bytes_max + 1), event("small")])
    assert await log.names() == [["a", "b"], ["c"], ["large"], ["small"]]


@on_virtual_clock
async def test_event_over_the_logs_largest_message_is_413_and_its_neighbours_go_on(
    log: WatchedLog, committer: Committer
) -> None:
    waiting = publish(committer, "small")
    too_large = b"x" * (committer.event_bytes_max + 1)
    with pytest.raises(Refused, match=f"at most {committer.event_bytes_max} bytes") as caught:
        await committer.commit([event("with it"), too_large])
    assert caught.value.status == 413
    assert await waiting == [pack(1, 0)]
    assert await log.names() == [["small"]]
    assert committer.event_bytes_max < log.payload_bytes_max


@pytest.mark.parametrize(("publishers", "blocks"), [(2, [2, 1, 1]), (8, [8, 8]), (70, [70, 1])])
@on_virtual_clock
async def test_a_few_who_come_again_one_by_one_share_the_next_block(
    publishers: int, blocks: list[int]
) -> None:
    """After the answer each needs more turns of the loop than the one before to send again."""
    log = WatchedLog()
    committer = Committer(log, 0, IDENTITY, lambda: 7)
    log.gate.clear()
    first = publish(committer, "in front")
    await settled()

    async def publish_twice(number: int) -> None:
        await committer.commit([event(f"a{number}")])
        for _ in range(3 * number):
            await asyncio.sleep(0)
        await committer.commit([event(f"b{number}")])

    publishing = [asyncio.create_task(publish_twice(number)) for number in range(publishers)]
    await settled()
    log.gate.set()
    await asyncio.gather(first, *publishing)
    sizes = [len(block) for block in await log.names()]
    assert sizes[: len(blocks) + 1] == [1, *blocks]


@on_virtual_clock
async def test_those_who_do_not_come_again_are_not_awaited_for_long(
    log: WatchedLog, committer: Committer
) -> None:
    log.gate.clear()
    first = publish(committer, "in front")
    await settled()
    leaving = [publish(committer, str(number)) for number in range(8)]
    await settled()
    log.gate.set()
    await asyncio.gather(first, *leaving)
    await committer.close()
    assert now_s() <= limits.gather_s
