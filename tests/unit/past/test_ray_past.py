"""The shell around Ray tasks: their errors in our words, a deadline, and none left that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from flux_actors import limits
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.past import ray_past
from flux_actors.past.orders import ChangesOrder
from flux_actors.past.ray_past import RayPast, _LateCode, _Room

ORDER: Any = ChangesOrder(0, "", -1, 1)


class FakeTask:
    """Stands for a remote function; what it answers is a value, an exception or a future."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[Any] = []
        self.cancelled: list[Any] = []

    def options(self, **_: Any) -> FakeTask:
        return self

    def remote(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return _awaited(self.answers.pop(0))

    def cancel(self, task: Any, *, force: bool) -> None:
        assert force
        self.cancelled.append(task)


class FakePages(FakeTask):
    """The same for a streaming one: each call is given all answers, one after the other."""

    def remote(self, *arguments: Any) -> AsyncIterator[Any]:
        self.calls.append(arguments)
        return self._references()

    async def _references(self) -> AsyncIterator[Any]:
        for answer in self.answers:
            yield _awaited(answer)


async def _awaited(answer: Any) -> Any:
    if isinstance(answer, asyncio.Future):
        return await answer
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def past():
    return RayPast(NatsAccess("nats://nowhere"), Path("snapshots"))


@pytest.fixture
def given(monkeypatch):
    """Have tasks answer so."""

    def give(task):
        monkeypatch.setattr(ray_past, "_remote_answer", task)
        monkeypatch.setattr(ray_past, "_remote_pages", task)
        monkeypatch.setattr(ray_past.ray, "cancel", task.cancel)
        return task

    return give


async def pages_of(past):
    return [page async for page in past.pages(ORDER)]


async def test_an_answer_is_passed_on(past, given):
    task = given(FakeTask(b"told"))
    assert await past.answer(ORDER) == b"told"
    assert task.calls == [(NatsAccess("nats://nowhere"), Path("snapshots"), ORDER)]
    assert task.cancelled == []


async def test_pages_are_passed_on_as_they_come(past, given):
    task = given(FakePages(b"one", b"two"))
    assert await pages_of(past) == [b"one", b"two"]
    assert task.cancelled == []


@pytest.mark.parametrize(
    "fault",
    [
        WorkerCrashedError(),
        RayTaskError("answer", "traceback", ValueError("a fault")),
        RayTaskError("answer", "traceback", Unavailable("the log is away")),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{type(getattr(fault, 'cause', None)).__name__}",
)
async def test_every_fault_of_a_task_is_a_reason_to_try_again(past, given, fault):
    given(FakeTask(*[fault] * 9))
    with pytest.raises(Unavailable):
        await past.answer(ORDER)
    given(FakePages(b"one", fault))
    with pytest.raises(Unavailable):
        await pages_of(past)


async def test_a_worker_that_was_gone_already_is_no_reason_to_give_up(past, given):
    task = given(FakeTask(WorkerCrashedError(), WorkerCrashedError(), b"told"))
    assert await past.answer(ORDER) == b"told"
    assert len(task.calls) == 3
    crashing = given(FakePages(WorkerCrashedError()))
    with pytest.raises(Unavailable, match="has ended"):
        await pages_of(past)
    assert len(crashing.calls) == 3


async def test_a_list_that_has_begun_does_not_begin_anew(past, given):
    task = given(FakePages(b"one", WorkerCrashedError()))
    with pytest.raises(Unavailable, match="has ended"):
        await pages_of(past)
    assert len(task.calls) == 1


async def test_a_refusal_of_a_task_stays_one(past, given):
    given(FakeTask(RayTaskError("answer", "traceback", Refused("it is gone", 410))))
    with pytest.raises(Refused, match="it is gone") as refused:
        await past.answer(ORDER)
    assert refused.value.status == 410


async def test_one_that_takes_too_long_is_ended(past, given, monkeypatch):
    monkeypatch.setattr(limits, "past_s", 0.01)
    for task in (FakeTask(asyncio.Future()), FakePages(asyncio.Future())):
        given(task)
        with pytest.raises(Unavailable, match="took longer"):
            await (past.answer(ORDER) if type(task) is FakeTask else pages_of(past))
        assert len(task.cancelled) == 1


async def test_one_that_nobody_waits_for_any_more_is_ended_and_gives_its_turn_back(past, given, monkeypatch):
    task = given(FakePages(b"one", b"two"))
    for _ in range(limits.past_at_once + 1):
        pages = past.pages(ORDER)
        assert await anext(pages) == b"one"
        await pages.aclose()
    assert len(task.cancelled) == limits.past_at_once + 1
    waiting = given(FakeTask(asyncio.Future()))
    asking = asyncio.create_task(past.answer(ORDER))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(waiting.cancelled) == 1


async def test_a_list_that_is_read_slowly_keeps_no_turn_to_fold(past, given):
    given(FakePages(b"one", b"two"))
    slow = [past.pages(ORDER) for _ in range(limits.past_lists_at_once)]
    assert limits.past_lists_at_once > limits.past_at_once
    for pages in slow:
        assert await anext(pages) == b"one"
    given(FakeTask(b"told"))
    assert await past.answer(ORDER) == b"told"
    given(FakePages(b"one", b"two"))
    late = asyncio.create_task(anext(past.pages(ORDER)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not late.done()
    assert [page async for page in slow[0]] == [b"two"]
    assert await late == b"one"
    for pages in slow[1:]:
        await pages.aclose()


def test_room_is_what_this_process_takes_more_than_at_first(monkeypatch):
    room = _Room()
    assert room()
    monkeypatch.setattr(limits, "past_memory_bytes_max", -1)
    assert not _Room()()
    assert room()


async def test_more_than_may_wait_are_told_to_come_again(past, given, monkeypatch):
    given(FakeTask(*(asyncio.Future() for _ in range(99))))
    most = limits.past_at_once + limits.past_waiting_max
    asking = [asyncio.create_task(past.answer(ORDER)) for _ in range(most)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too many ask"):
        await past.answer(ORDER)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_the_code_store_is_opened_by_the_first_reducer_that_is_met(monkeypatch):
    opened = []

    async def open_store(client):
        opened.append(client)
        return MemoryCodeStore()

    monkeypatch.setattr(ray_past.JetStreamCodeStore, "open", open_store)
    source = _LateCode("client")
    assert opened == []
    for _ in range(2):
        with pytest.raises(Corrupt):
            await source.get("none")
    assert opened == ["client"]
