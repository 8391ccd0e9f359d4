from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flux_actors.behaviour import handling
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import RAISED, TOO_LONG, Done, Fault
from flux_actors.domain.acting.catalogue import Bounds
from flux_actors.errors import Unavailable
from tests.unit.behaviour.working import Worker, change, events, question, reminder


class Neighbours:
    """Answers by adding one; `home/away` is away."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, float]] = []

    async def ask(self, entity_id: str, content: Any, deadline_s: float) -> Any:
        self.asked.append((entity_id, content, deadline_s))
        await asyncio.sleep(0)
        if entity_id == "home/away":
            raise Unavailable("no answer in time")
        return content + 1


class Asking(Behaviour):
    match = "home/*"

    async def on_change(self, entity: Any, change: Any) -> None:
        answer = await entity.ask(change.properties["whom"], 41, deadline_s=2)
        entity.set(answer=answer)

    def on_reminder(self, entity: Any, name: str) -> None:
        entity.set(reminded=name)

    async def on_ask(self, entity: Any, message: Any) -> Any:
        await asyncio.sleep(0)
        return {"echo": message}


def fault(done: Done) -> Fault:
    assert done.fault is not None
    assert done.effects == []
    return done.fault


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def worker(watchdog: Watchdog, neighbours: Neighbours) -> Worker:
    return Worker(watchdog, neighbours)


async def test_async_handler_asks_others_and_acts_on_the_answer(
    worker: Worker, neighbours: Neighbours
) -> None:
    (done,) = await worker.run_async(Asking, change(whom="home/attic"))
    assert neighbours.asked == [("home/attic", 41, 2.0)]
    assert [event.properties for event in events(done.effects)] == [{"answer": 42}]


async def test_handlers_of_both_kinds_are_called_in_order(worker: Worker) -> None:
    results = await worker.run_async(Asking, reminder("first"), change(whom="home/attic"), question("q"))
    assert [len(done.effects) for done in results] == [1, 1, 0]
    assert results[2].answer == {"echo": "q"}


async def test_question_that_failed_raises_where_it_was_asked(worker: Worker) -> None:
    (done,) = await worker.run_async(Asking, change(whom="home/away"))
    assert fault(done).kind == RAISED
    assert fault(done).text.startswith("Unavailable: no answer in time")


async def test_handler_that_is_not_async_cannot_ask(worker: Worker) -> None:
    class Hasty(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            entity.ask("home/attic", 1)

    (done,) = worker.run(Hasty, change())
    assert "only an async handler can wait" in fault(done).text


async def test_worker_without_a_way_to_others_says_so(watchdog: Watchdog) -> None:
    (done,) = await Worker(watchdog).run_async(Asking, change(whom="home/attic"))
    assert "cannot be asked from here" in fault(done).text


async def test_async_handler_that_waits_too_long_is_ended(worker: Worker) -> None:
    class Waiting(Behaviour):
        match = "home/*"
        bounds = Bounds(async_s=0.01)

        async def on_change(self, entity: Any, change: Any) -> None:
            entity.set(begun=True)
            await asyncio.Event().wait()

    (done,) = await worker.run_async(Waiting, change())
    assert fault(done) == Fault(TOO_LONG, "on_change took more than 0.01 s")


async def test_async_handler_that_answers_after_its_time_is_late_all_the_same(worker: Worker) -> None:
    class Deaf(Behaviour):
        match = "home/*"
        bounds = Bounds(async_s=0.01)

        async def on_change(self, entity: Any, change: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                entity.set(never_mind=True)

    (done,) = await worker.run_async(Deaf, change())
    assert fault(done).kind == TOO_LONG


async def test_async_handler_that_never_gives_up_is_given_up(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Immortal(Behaviour):
        match = "home/*"
        bounds = Bounds(async_s=0.01)

        async def on_change(self, entity: Any, change: Any) -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    entity.set(still_here=True)

    monkeypatch.setattr(handling, "_CLEANING_S", 0.01)
    async with asyncio.timeout(10):
        (done,) = await worker.run_async(Immortal, change())
    assert fault(done).kind == TOO_LONG


async def test_async_handler_that_holds_the_loop_is_interrupted(worker: Worker) -> None:
    class Busy(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        async def on_change(self, entity: Any, change: Any) -> None:
            await asyncio.sleep(0)
            while True:
                pass

    (done,) = await worker.run_async(Busy, change())
    assert fault(done).kind == TOO_LONG
    assert "on_change ran for more than 0.02 s" in fault(done).text


async def test_waiting_is_no_work_of_a_handler(worker: Worker) -> None:
    class Patient(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        async def on_change(self, entity: Any, change: Any) -> None:
            for _ in range(10):
                await asyncio.sleep(0.01)

    assert await worker.run_async(Patient, change()) == [Done()]


async def test_entities_wait_beside_one_another(watchdog: Watchdog) -> None:
    class Meeting:
        """Answers when two have asked."""

        def __init__(self) -> None:
            self.both = asyncio.Barrier(2)

        async def ask(self, entity_id: str, content: Any, deadline_s: float) -> Any:
            await self.both.wait()
            return content

    worker = Worker(watchdog, Meeting())
    async with asyncio.timeout(10):
        both = await asyncio.gather(
            worker.run_async(Asking, change(whom="home/attic"), entity_id="home/a"),
            worker.run_async(Asking, change(whom="home/attic"), entity_id="home/b"),
        )
    assert [len(done.effects) for (done,) in both] == [1, 1]


async def test_handler_that_raises_cancelled_is_a_fault(worker: Worker) -> None:
    class Odd(Behaviour):
        match = "home/*"

        async def on_change(self, entity: Any, change: Any) -> None:
            raise asyncio.CancelledError

    (done,) = await worker.run_async(Odd, change())
    assert fault(done).kind == RAISED


async def test_cancelled_worker_ends_its_handler(worker: Worker) -> None:
    class Waiting(Behaviour):
        match = "home/*"

        async def on_change(self, entity: Any, change: Any) -> None:
            await asyncio.Event().wait()

    task = asyncio.create_task(worker.run_async(Waiting, change()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
