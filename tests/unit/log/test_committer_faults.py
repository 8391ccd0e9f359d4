"""The committer when the log is slow, silent, full or away: retries, deadlines, bounds, farewells."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import Packed, pack, unpack
from flux_actors.errors import Unavailable
from flux_actors.log.block import decode_block, event_at
from flux_actors.log.committer import Committer, Outcome
from tests.unit.log.virtual_clock import on_virtual_clock, settled
from tests.unit.log.watched_log import IDENTITY, WatchedLog, event, now_s, outcome_of, publish


@on_virtual_clock
async def test_block_whose_answer_was_lost_is_sent_again_under_its_id_and_stored_once(
    log: WatchedLog, committer: Committer
) -> None:
    log.lose_acks = 2
    assert await committer.commit([event("one")]) == [pack(1, 0)]
    assert len(log.tries) == 3
    assert len(set(log.tries)) == 1
    assert await log.names() == [["one"]]
    assert now_s() == pytest.approx(2 * limits.append_retry_s)


@on_virtual_clock
async def test_two_committers_never_share_a_block_id(log: WatchedLog, committer: Committer) -> None:
    other = Committer(log, 0, IDENTITY + 1, lambda: 7)
    for one in (committer, other, committer):
        await one.commit([event("x")])
    assert len({block_id for block_id, _ in log.tries}) == 3


@on_virtual_clock
async def test_publish_fails_when_the_log_stays_away_until_the_deadline(
    log: WatchedLog, committer: Committer
) -> None:
    log.away = True
    outcome = await outcome_of(publish(committer, "one"))
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after_s >= 1
    assert now_s() <= limits.append_deadline_s
    assert now_s() > limits.append_deadline_s - 3 * limits.append_retry_s
    assert (committer.blocks_total, committer.events_total) == (0, 0)


@on_virtual_clock
async def test_those_who_waited_as_long_fail_with_it_and_younger_ones_get_their_try(
    log: WatchedLog, committer: Committer
) -> None:
    log.silent = True
    first = publish(committer, "first")
    await settled()
    as_old = publish(committer, "as old", "as old too")
    await asyncio.sleep(limits.append_deadline_s / 2)
    younger = publish(committer, "younger")
    assert isinstance(await outcome_of(first), Unavailable)
    log.silent = False
    assert [type(outcome) for outcome in await as_old] == [Unavailable, Unavailable]
    assert now_s() <= limits.append_deadline_s + limits.append_timeout_s
    assert await younger == [pack(1, 0)]
    assert await log.names() == [["younger"]]


@pytest.mark.parametrize("fault", ["away", "silent"])
def test_nobody_waits_much_longer_than_the_deadline(
    log: WatchedLog, committer: Committer, fault: str
) -> None:
    async def waited(name: str) -> float:
        since = now_s()
        assert isinstance(await outcome_of(publish(committer, name)), Unavailable)
        return now_s() - since

    @on_virtual_clock
    async def run() -> None:
        setattr(log, fault, True)
        waiting = []
        for number in range(40):
            waiting.append(asyncio.create_task(waited(str(number))))
            await asyncio.sleep(0.7)
        longest = limits.append_deadline_s + limits.append_timeout_s + limits.append_retry_s
        assert max(await asyncio.gather(*waiting)) <= longest

    run()


@on_virtual_clock
async def test_publish_that_was_half_sent_tells_which_half_is_safe(
    log: WatchedLog, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "block_events_max", 2)
    log.room = 1
    outcomes = await publish(committer, "a", "b", "c", "d", "e")
    assert outcomes[:2] == [pack(1, 0), pack(1, 1)]
    assert len(outcomes) == 5
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes[2:])
    log.room = 9
    assert await publish(committer, "again") == [pack(2, 0)]


@on_virtual_clock
async def test_late_copy_of_a_failed_block_changes_nothing(log: WatchedLog, committer: Committer) -> None:
    log.away = True
    await publish(committer, "failed")
    failed = log.tries[-1]
    log.away = False
    await publish(committer, "next")
    late_id, late_data = failed
    await log.append(0, late_data, late_id, 1)
    state = PartitionState(0)
    state.apply([(s, decode_block(await log.block(0, s))) for s in (1, 2)])
    assert (state.sequence, state.events_total, state.window.younger.ids) == (2, 1, ["a\0next"])


@on_virtual_clock
async def test_blocks_carry_growing_numbers_and_a_clock_that_never_goes_back(log: WatchedLog) -> None:
    clock = iter([50, 20, 60, 10])
    committer = Committer(log, 0, IDENTITY, lambda: next(clock))
    for name in "abcd":
        await committer.commit([event(name)])
    blocks = [decode_block(data) for _, data in log.tries]
    assert [block.number for block in blocks] == [1, 2, 3, 4]
    assert [block.clock_us for block in blocks] == [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("limit", "value"), [("queue_events_max", 3), ("queue_bytes_max", 4 * len(event("0")) - 1)]
)
def test_queue_is_bounded_and_takes_again_once_it_emptied(
    log: WatchedLog, committer: Committer, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(limits, limit, value)

    @on_virtual_clock
    async def run() -> None:
        log.gate.clear()
        in_flight = publish(committer, "first")
        await settled()
        queued = [publish(committer, str(number)) for number in range(3)]
        await settled()
        for _ in range(2):
            with pytest.raises(Unavailable, match="too many publishes") as caught:
                await committer.commit([event("4")])
            assert caught.value.retry_after_s >= 1
        log.gate.set()
        await asyncio.gather(in_flight, *queued)
        assert await committer.commit([event("5")]) == [pack(3, 0)]
        assert await log.names() == [["first"], ["0", "1", "2"], ["5"]]

    run()


@on_virtual_clock
async def test_queue_frees_the_room_of_publishes_that_failed(
    log: WatchedLog, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "queue_events_max", 3)
    for _ in range(4):
        log.gate.clear()
        log.silent = True
        in_flight = publish(committer, "in flight")
        await settled()
        queued = [publish(committer, "a", "b"), publish(committer, "c")]
        await settled()
        log.gate.set()
        for failing in (in_flight, *queued):
            assert {type(outcome) for outcome in await failing} == {Unavailable}
    log.silent = False
    log.gate.clear()
    publishing = [publish(committer, "in flight")]
    await settled()
    publishing += [publish(committer, name) for name in "abc"]
    await settled()
    log.gate.set()
    assert [type(await outcome_of(one)) for one in publishing] == [int] * 4


@on_virtual_clock
async def test_waiter_that_is_cancelled_takes_nobody_with_it(log: WatchedLog, committer: Committer) -> None:
    log.gate.clear()
    in_flight = publish(committer, "in flight")
    await settled()
    leaving, staying = publish(committer, "leaving"), publish(committer, "staying")
    await settled()
    in_flight.cancel()
    leaving.cancel()
    await asyncio.gather(in_flight, leaving, return_exceptions=True)
    log.gate.set()
    sequence, offset = unpack(Packed(await expect_position(staying)))
    assert event_at(await log.block(0, sequence), offset).event_id == "staying"
    assert await expect_position(publish(committer, "later")) > pack(sequence, offset)
    assert log.in_flight == 0


async def expect_position(publishing: asyncio.Task[list[Outcome]]) -> int:
    outcome = await outcome_of(publishing)
    assert not isinstance(outcome, Unavailable)
    return outcome


@on_virtual_clock
async def test_closing_lets_the_queue_finish_and_refuses_what_is_new(
    log: WatchedLog, committer: Committer
) -> None:
    log.gate.clear()
    first = publish(committer, "first")
    await settled()
    second = publish(committer, "second", "third")
    await settled()
    closing = asyncio.create_task(committer.close())
    await settled()
    with pytest.raises(Unavailable, match="closing"):
        await committer.commit([event("late")])
    assert not closing.done()
    log.gate.set()
    await closing
    assert (await first, await second) == ([pack(1, 0)], [pack(2, 0), pack(2, 1)])


@on_virtual_clock
async def test_closing_an_idle_committer_is_quick_and_may_be_repeated(committer: Committer) -> None:
    await committer.close()
    await committer.close()
    assert now_s() == 0
    with pytest.raises(Unavailable):
        await committer.commit([event("late")])


@on_virtual_clock
async def test_fault_that_nobody_foresaw_is_told_and_stops_nothing(
    log: WatchedLog, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(log, "append", None)
        (outcome,) = await publish(committer, "first")
    assert isinstance(outcome, Unavailable)
    assert "TypeError" in outcome.message
    assert await publish(committer, "second") == [pack(1, 0)]


@on_virtual_clock
async def test_whoever_waits_is_told_when_the_log_takes_nothing_any_more(
    log: WatchedLog, committer: Committer
) -> None:
    log.room = 0
    waiting = [publish(committer, f"e{number}") for number in range(3)]
    await settled()
    committer.give_up()
    outcomes = [await outcome_of(one) for one in waiting]
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert now_s() < limits.append_deadline_s
    with pytest.raises(Unavailable):
        await committer.commit([event("late")])
    await committer.close()
