"""Telling by processes: a deadline, none busy for nobody, and those that have told are asked again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.past.orders import ChangesOrder
from flux_actors.past.telling import TellerGone, TellersPast

ORDER: Any = ChangesOrder(0, "", -1, 1)


class FakeTeller:
    """A teller that gives these answers: values, exceptions, or futures to wait for."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.ended = False
        self.forgotten = 0

    async def answer(self, order: Any) -> bytes:
        assert order is ORDER
        told = await self.next_page()
        assert told is not None
        return told

    async def first_page(self, order: Any) -> bytes | None:
        assert order is ORDER
        return await self.next_page()

    async def next_page(self) -> bytes | None:
        answer = self.answers.pop(0)
        if isinstance(answer, asyncio.Future):
            return await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def forget(self) -> None:
        self.forgotten += 1

    def end(self) -> None:
        self.ended = True


class Started:
    """Starts tellers: the given ones, in order."""

    def __init__(self, *tellers: FakeTeller) -> None:
        self.left = list(tellers)

    def __call__(self) -> FakeTeller:
        return self.left.pop(0)


def past_of(*tellers: FakeTeller) -> TellersPast:
    return TellersPast(Started(*tellers))


async def pages_of(past: TellersPast) -> list[bytes]:
    return [page async for page in past.pages(ORDER)]


async def test_an_answer_is_passed_on_and_its_teller_asked_again():
    teller = FakeTeller(b"told", b"again")
    past = past_of(teller)
    assert await past.answer(ORDER) == b"told"
    assert await past.answer(ORDER) == b"again"
    assert not teller.ended


async def test_pages_are_passed_on_as_they_come_and_their_teller_asked_again():
    teller = FakeTeller(b"one", b"two", None, b"told")
    past = past_of(teller)
    assert await pages_of(past) == [b"one", b"two"]
    assert teller.forgotten == 1
    assert await past.answer(ORDER) == b"told"
    assert not teller.ended


async def test_the_next_page_is_made_while_one_is_read():
    teller = FakeTeller(b"one", b"two", None)
    pages = past_of(teller).pages(ORDER)
    assert await anext(pages) == b"one"
    await asyncio.sleep(0)
    assert teller.answers == [None]
    await pages.aclose()


async def test_a_teller_that_ends_is_a_reason_to_try_again():
    past = past_of(FakeTeller(TellerGone()), FakeTeller(b"one", TellerGone()), FakeTeller(b"told"))
    with pytest.raises(Unavailable, match="has ended"):
        await past.answer(ORDER)
    with pytest.raises(Unavailable, match="has ended"):
        await pages_of(past)
    assert await past.answer(ORDER) == b"told"


async def test_one_that_ended_while_it_was_idle_is_nobodys_concern():
    past = past_of(
        FakeTeller(b"told", TellerGone()), FakeTeller(b"told too", TellerGone()), FakeTeller(b"one", None)
    )
    assert await past.answer(ORDER) == b"told"
    assert await past.answer(ORDER) == b"told too"
    assert await pages_of(past) == [b"one"]


@pytest.mark.parametrize("refusal", [Refused("it is gone", 410), Unavailable("the log is away")], ids=type)
async def test_a_refusal_is_passed_on_and_its_teller_asked_again(refusal):
    teller = FakeTeller(refusal, b"one", refusal, b"told")
    past = past_of(teller)
    with pytest.raises(type(refusal)) as first:
        await past.answer(ORDER)
    with pytest.raises(type(refusal)) as second:
        await pages_of(past)
    assert first.value is second.value is refusal
    assert await past.answer(ORDER) == b"told"
    assert not teller.ended


async def test_one_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(limits, "past_s", 0.01)
    slow = [FakeTeller(asyncio.Future()), FakeTeller(asyncio.Future()), FakeTeller(b"one", asyncio.Future())]
    past = past_of(*slow)
    for asked in (past.answer(ORDER), pages_of(past), pages_of(past)):
        with pytest.raises(Unavailable, match="took longer"):
            await asked
    assert [teller.ended for teller in slow] == [True] * 3


async def test_a_fold_that_nobody_waits_for_any_more_is_ended():
    teller = FakeTeller(asyncio.Future())
    asking = asyncio.create_task(past_of(teller).answer(ORDER))
    await asyncio.sleep(0)
    assert not teller.ended
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert teller.ended


async def test_a_list_whose_reader_leaves_is_forgotten_and_its_teller_asked_again():
    teller = FakeTeller(b"one", asyncio.Future(), b"told")
    past = past_of(teller)
    pages = past.pages(ORDER)
    assert await anext(pages) == b"one"
    await asyncio.sleep(0)
    await pages.aclose()
    assert teller.forgotten == 1
    assert await past.answer(ORDER) == b"told"
    assert not teller.ended


async def test_lists_that_readers_leave_give_their_turns_back(monkeypatch):
    monkeypatch.setattr(limits, "past_pause_s", 0.0)
    past = past_of(FakeTeller(*(part for _ in range(20) for part in (b"one", b"two"))))
    for _ in range(2 * limits.past_lists_at_once):
        pages = past.pages(ORDER)
        assert await anext(pages) == b"one"
        await asyncio.sleep(0)
        await pages.aclose()
        await asyncio.sleep(0)


async def test_a_list_that_is_read_slowly_keeps_no_turn_to_fold():
    assert limits.past_lists_at_once > limits.past_at_once
    tellers = [FakeTeller(b"one", b"two", None) for _ in range(limits.past_lists_at_once)]
    past = past_of(*tellers, FakeTeller(b"told"))
    slow = [past.pages(ORDER) for _ in tellers]
    for pages in slow:
        assert await anext(pages) == b"one"
    assert await past.answer(ORDER) == b"told"
    tellers[0].answers += [b"one", None]
    late = asyncio.create_task(anext(past.pages(ORDER)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not late.done()
    assert [page async for page in slow[0]] == [b"two"]
    assert await late == b"one"
    for pages in slow[1:]:
        await pages.aclose()


async def test_those_that_are_not_asked_for_a_while_are_ended(monkeypatch):
    monkeypatch.setattr(limits, "past_idle_s", 0.01)
    teller = FakeTeller(b"told")
    past = past_of(teller, FakeTeller(b"told by another"))
    assert await past.answer(ORDER) == b"told"
    await asyncio.sleep(0.03)
    assert teller.ended
    assert await past.answer(ORDER) == b"told by another"


async def test_no_more_are_kept_than_may_fold_at_once():
    tellers = [FakeTeller(b"one", None) for _ in range(limits.past_at_once + 1)]
    past = past_of(*tellers)
    lists = [past.pages(ORDER) for _ in tellers]
    for pages in lists:
        assert await anext(pages) == b"one"
    for pages in lists:
        assert [page async for page in pages] == []
    assert [teller.ended for teller in tellers] == [False] * limits.past_at_once + [True]


async def test_more_than_may_wait_are_told_to_come_again():
    most = limits.past_at_once + limits.past_waiting_max
    past = past_of(*(FakeTeller(asyncio.Future()) for _ in range(most)))
    asking = [asyncio.create_task(past.answer(ORDER)) for _ in range(most)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too many ask"):
        await past.answer(ORDER)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
