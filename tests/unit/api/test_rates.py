"""Rates: what a door lets pass, from leases that it asks for ahead of need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.runtime_config import RuntimeConfig
from flux_actors.tenancy.budget import share_of
from flux_actors.tenancy.lending import MemoryLender
from flux_api.rates import Rates
from tests.unit.domain.strategies import few
from tests.unit.log.virtual_clock import on_virtual_clock, settled

MINUTE_S = 60.0


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Doors:
    """Some doors that share the budgets."""

    def __init__(self, per_minute: int, doors: int = 1) -> None:
        self.lender = MemoryLender(now_s)
        self.rates = [Rates(self.lender, f"door-{n}", in_force=True, clock=now_s) for n in range(doors)]
        self.passed: list[tuple[float, int]] = []
        self.revision = 0
        self.set(per_minute)

    def set(self, per_minute: int, *, enabled: bool = True) -> None:
        self.revision += 1
        config = RuntimeConfig(rate_limit_enabled=enabled, rate_limit_per_namespace_per_minute=per_minute)
        for rates in self.rates:
            rates.configure(config, self.revision)

    async def publish(self, count: int = 1, door: int = 0, namespace: str = "n") -> int:
        """Return how many of `count` events passed."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.rates[door].admit(namespace, count, answer.set_result)
        passed = await answer
        self.passed.append((now_s(), passed))
        return passed

    async def one_by_one(self, count: int, door: int = 0) -> int:
        """Return how many of `count` single events passed."""
        return sum([await self.publish(door=door) for _ in range(count)])

    def retry_after_s(self, door: int = 0) -> int:
        refusal = self.rates[door].refusal("n")
        assert refusal.status == 429
        assert f"try again in {refusal.headers['Retry-After']} s" in refusal.message
        return int(refusal.headers["Retry-After"])

    async def close(self) -> None:
        for rates in self.rates:
            await rates.close()


def within(passed: Sequence[tuple[float, int]], per_minute: int, slack: float) -> bool:
    """Whether no window holds more than a bucket, its refill and a slack."""
    for first in range(len(passed)):
        total = 0
        for at_s, events in passed[first:]:
            total += events
            if total > per_minute * (1 + (at_s - passed[first][0]) / MINUTE_S) + slack:
                return False
    return True


@on_virtual_clock
async def test_a_small_limit_is_exact() -> None:
    doors = Doors(5)
    assert [await doors.publish() for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]
    await doors.close()


@pytest.mark.parametrize("per_minute", [1, 5, 120, 10_000, 1_000_000])
def test_one_who_comes_again_after_retry_after_passes(per_minute: int) -> None:
    @on_virtual_clock
    async def run() -> None:
        doors = Doors(per_minute)
        while await doors.publish(max(1, per_minute // 10)) > 0:
            pass
        for _ in range(5):
            while await doors.publish():
                pass
            wait_s = doors.retry_after_s()
            assert 1 <= wait_s <= max(2, MINUTE_S / per_minute + 1)
            await asyncio.sleep(wait_s)
            assert await doors.publish() == 1
        await doors.close()

    run()


@on_virtual_clock
async def test_it_is_true_at_another_door_too() -> None:
    doors = Doors(5, doors=2)
    while await doors.publish():
        pass
    await asyncio.sleep(doors.retry_after_s())
    assert await doors.publish(door=1) == 1
    await doors.close()


@on_virtual_clock
async def test_a_namespace_that_is_refused_asks_nobody_until_its_time_has_come() -> None:
    doors = Doors(600)
    await doors.publish(600)
    assert await doors.publish() == 0
    calls = doors.lender.calls
    for _ in range(1_000):
        assert await doors.publish() == 0
    assert doors.lender.calls == calls
    await doors.close()


@on_virtual_clock
async def test_it_is_known_whether_more_events_come_than_may_pass() -> None:
    doors = Doors(600)
    (rates,) = doors.rates
    assert (rates.short_of("n", 600), rates.short_of("n", 601)) == (False, True)
    assert await doors.publish(500) == 500
    await settled()
    assert (rates.short_of("n", 90), rates.short_of("n", 110)) == (False, True)
    assert await doors.publish(200) == 100
    assert rates.short_of("n", 1)
    await asyncio.sleep(1)
    assert rates.refuses("n")  # so what came in meanwhile is given to nobody yet
    assert (rates.short_of("n", 0), rates.short_of("n", 1)) == (False, True)
    await asyncio.sleep(9)
    assert not rates.refuses("n")
    assert (rates.short_of("n", 100), rates.short_of("n", 101)) == (False, True)
    await doors.close()


@on_virtual_clock
async def test_ten_thousand_events_take_few_calls() -> None:
    doors = Doors(10_000)
    assert await doors.one_by_one(10_000) == pytest.approx(10_000, abs=1)
    assert doors.lender.calls < 300
    await doors.close()


@on_virtual_clock
async def test_all_namespaces_that_need_one_are_asked_for_in_one_call() -> None:
    doors = Doors(5)
    passed = [asyncio.create_task(doors.publish(namespace=f"n{number}")) for number in range(100)]
    assert sum(await asyncio.gather(*passed)) == 100
    assert doors.lender.calls == 1
    await doors.close()


@on_virtual_clock
async def test_the_first_event_after_an_idle_time_does_not_wait() -> None:
    doors = Doors(10_000)
    assert doors.rates[0].take("n")
    await asyncio.sleep(30)
    assert doors.rates[0].take("n")
    await doors.close()


@on_virtual_clock
async def test_those_who_wait_are_answered_in_their_order() -> None:
    doors = Doors(600)
    heard: list[tuple[str, int]] = []
    for name, count in (("a", 300), ("b", 200), ("c", 50), ("d", 100), ("e", 7)):
        doors.rates[0].admit("n", count, lambda passed, name=name: heard.append((name, passed)))
    await settled()
    assert heard == [("a", 300), ("b", 200), ("c", 50), ("d", 50), ("e", 0)]
    await doors.close()


@on_virtual_clock
async def test_one_who_comes_while_others_wait_does_not_overtake_them() -> None:
    doors = Doors(10_000)
    rates = doors.rates[0]
    heard: list[str] = []
    rates.admit("n", 500, lambda _: heard.append("first"))
    assert not rates.take("n")
    rates.admit("n", 1, lambda _: heard.append("second"))
    await settled()
    assert heard == ["first", "second"]
    await doors.close()


@on_virtual_clock
async def test_a_listener_that_fails_takes_no_other_with_it() -> None:
    doors = Doors(600)
    heard: list[int] = []

    def fails(_: int) -> None:
        raise ValueError

    doors.rates[0].admit("n", 100, fails)
    doors.rates[0].admit("n", 100, heard.append)
    await settled()
    assert heard == [100]
    await doors.close()


@on_virtual_clock
async def test_what_lies_unused_goes_back_and_the_other_door_has_it() -> None:
    doors = Doors(10_000, doors=2)
    await doors.publish()
    await asyncio.sleep(3 * limits.lease_idle_s)
    assert await doors.publish(9_999, door=1) == 9_999
    await doors.close()


@on_virtual_clock
async def test_what_was_refused_for_another_reason_does_not_count() -> None:
    doors = Doors(5)
    for _ in range(20):
        assert await doors.publish() == 1
        doors.rates[0].give_back("n", 1)
    assert await doors.one_by_one(10) == 5
    await doors.close()


@on_virtual_clock
async def test_a_lower_limit_is_in_force_at_once_whatever_was_lent() -> None:
    doors = Doors(10_000, doors=2)
    for door in range(2):
        await doors.publish(10, door=door)
    doors.set(5)
    assert await doors.one_by_one(20) + await doors.one_by_one(20, door=1) == 5
    await doors.close()


@on_virtual_clock
async def test_a_higher_limit_is_in_force_at_once_whoever_was_refused() -> None:
    doors = Doors(5)
    assert await doors.one_by_one(10) == 5
    doors.set(100)
    assert await doors.one_by_one(200) == 95
    await doors.close()


@on_virtual_clock
async def test_switched_off_everything_passes_and_those_who_wait_too() -> None:
    doors = Doors(5)
    await doors.one_by_one(10)
    doors.set(100)
    waiting = asyncio.create_task(doors.publish(1_000))
    await asyncio.sleep(0)
    doors.set(5, enabled=False)
    assert await waiting == 1_000
    assert await doors.one_by_one(100) == 100
    calls = doors.lender.calls
    await asyncio.sleep(10)
    assert doors.lender.calls == calls
    doors.set(5)
    assert await doors.one_by_one(20) <= 5
    await doors.close()


@on_virtual_clock
async def test_without_tokens_nothing_is_limited() -> None:
    rates = Rates(MemoryLender(now_s), "door", in_force=False, clock=now_s)
    rates.configure(RuntimeConfig(rate_limit_per_namespace_per_minute=1), 1)
    assert rates.off


@on_virtual_clock
async def test_purses_of_namespaces_that_are_quiet_are_forgotten() -> None:
    doors = Doors(10_000)
    for number in range(2_000):
        await doors.publish(namespace=f"n{number}")
    await asyncio.sleep(70)
    assert not doors.rates[0]._purses  # noqa: SLF001
    assert not doors.rates[0]._sweeping  # noqa: SLF001
    await asyncio.sleep(20)
    await doors.publish()
    await settled()
    assert len(doors.lender.budgets) <= 1
    await doors.close()


@pytest.mark.parametrize("doors_count", [1, 2])
def test_while_the_budgets_are_away_a_door_gives_out_its_share(doors_count: int) -> None:
    @on_virtual_clock
    async def run() -> None:
        doors = Doors(6_000, doors=doors_count)
        for door in range(doors_count):
            await doors.publish(10, door=door)
        await asyncio.sleep(2)
        doors.lender.away = True
        share = 6_000 // doors_count
        for door in range(doors_count):
            assert await doors.publish(10_000, door=door) == pytest.approx(share, rel=0.1)
            assert await doors.publish(10, door=door) == 0
        await asyncio.sleep(3)
        for door in range(doors_count):
            assert await doors.publish(10_000, door=door) == pytest.approx(share * 3 / 60, rel=0.2)
        assert within(doors.passed, 6_000, 600)
        await doors.close()

    run()


@pytest.mark.parametrize("forgets", [False, True])
def test_when_they_are_back_what_was_given_out_meanwhile_is_paid_for(forgets: bool) -> None:  # noqa: FBT001
    @on_virtual_clock
    async def run() -> None:
        doors = Doors(6_000, doors=2)
        for door in (0, 1):
            await doors.publish(1_000, door=door)
        await asyncio.sleep(limits.lease_idle_s)
        doors.lender.away = True
        for door in (0, 1):
            assert await doors.publish(1_500, door=door) == 1_500
        doors.lender.away = False
        if forgets:
            doors.lender.forget()
        await asyncio.sleep(1)
        passed = sum([await doors.publish(10_000, door=door) for door in (0, 1)])
        assert passed == pytest.approx(1_000, abs=400)
        assert within(doors.passed, 6_000, 600)
        await doors.close()

    run()


@on_virtual_clock
async def test_budgets_that_were_started_again_are_told_how_little_was_left() -> None:
    doors = Doors(6_000)
    await doors.publish(6_000)
    assert await doors.publish() == 0
    doors.lender.forget()
    await asyncio.sleep(doors.retry_after_s())
    assert await doors.publish(6_000) <= 300
    await doors.close()


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3_000), st.integers(1, 400)), max_size=50)


@given(st.integers(1, 3_000), STEPS)
@few
def test_however_doors_are_used_together_they_keep_the_limit_within_ten_percent(
    per_minute: int, steps: list[tuple[int, int, int]]
) -> None:
    @on_virtual_clock
    async def run() -> None:
        doors = Doors(per_minute, doors=3)
        for door, wait_ms, count in steps:
            await asyncio.sleep(wait_ms / 1_000)
            await doors.publish(count, door=door)
        assert within(doors.passed, per_minute, per_minute * 0.1 + 1)
        await doors.close()

    run()


@pytest.mark.parametrize(("per_minute", "doors_count"), [(30, 2), (600, 3), (10_000, 2), (100_000, 4)])
def test_those_who_always_want_more_get_the_limit_within_ten_percent(
    per_minute: int, doors_count: int
) -> None:
    @on_virtual_clock
    async def run() -> None:
        doors = Doors(per_minute, doors=doors_count)

        async def greedy(door: int) -> None:
            while now_s() < 2 * MINUTE_S:
                await doors.publish(max(1, per_minute // 200), door=door)
                await asyncio.sleep(0.2)

        await asyncio.gather(*map(greedy, range(doors_count)))
        total = sum(events for _, events in doors.passed)
        assert total == pytest.approx(3 * per_minute, rel=0.1)
        assert within(doors.passed, per_minute, per_minute * 0.1)
        await doors.close()

    run()


def test_a_share_stays_far_from_the_ten_percent() -> None:
    for doors in (1, 2, 7, 64):
        assert 2 * doors * share_of(10_000, doors) <= 0.05 * 10_000
