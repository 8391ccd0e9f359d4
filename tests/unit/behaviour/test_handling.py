from __future__ import annotations

from typing import Any

import pytest

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import NO_CODE, RAISED, TOO_LARGE, Done, Run
from flux_actors.domain.event import terms_in
from flux_actors.domain.position import pack
from tests.unit.behaviour.working import (
    CLOCK_US,
    ENTITY,
    NOW_MS,
    PARTITION,
    SETTLED,
    Worker,
    change,
    events,
    question,
    reminder,
    told,
)


class Thermostat(Behaviour):
    match = "home/*"

    def on_change(self, entity: Any, change: Any) -> None:
        if change.properties.get("celsius", 0) > 30:
            entity.emit("home/fan", {"on": True})
            entity.remind("check", after_s=60)

    def on_reminder(self, entity: Any, name: str) -> None:
        entity.set({"reminded": name})

    def on_ask(self, entity: Any, message: Any) -> Any:
        return {"celsius": entity.state.get("celsius"), "asked": message}


class Counting(Behaviour):
    match = "home/*"

    def __init__(self) -> None:
        self.seen = 0

    def on_change(self, entity: Any, change: Any) -> None:
        self.seen += 1
        if change.properties.get("fail"):
            raise ValueError("as told")
        entity.set(seen=self.seen)


def seen(results: list[Done]) -> list[int]:
    return [event.properties["seen"] for done in results for event in events(done.effects)]  # type: ignore[index]


def test_change_becomes_events_that_name_their_cause(worker: Worker) -> None:
    (done,) = worker.run(Thermostat, change(sequence=7, celsius=31))
    fan, remind = events(done.effects)
    assert [effect.entity_id for effect in done.effects] == ["home/fan", ENTITY]
    assert (fan.entity_id, fan.properties, fan.stream) == ("home/fan", {"on": True}, "flux.effect")
    assert (fan.source, fan.timestamp_ms, fan.named_by_client) == (
        "flux-behaviour.Thermostat",
        CLOCK_US // 1_000,
        False,
    )
    assert [fan.event_id, remind.event_id] == [f"effect.3.{pack(7, 1)}.0", f"effect.3.{pack(7, 1)}.1"]
    cause = terms_in(fan).cause  # type: ignore[union-attr]
    assert cause is not None
    assert (cause.partition, cause.entity_id, cause.position) == (PARTITION, ENTITY, pack(7, 1))
    assert (cause.index, cause.settled, cause.depth) == (0, SETTLED, 1)
    terms = terms_in(remind)
    assert terms is not None
    assert (remind.properties, terms.remind) == ({}, {"check": 60_000})
    assert terms.cause is not None
    assert terms.cause.index == 1


def test_same_message_gives_the_same_bytes_again(worker: Worker) -> None:
    first = worker.run(Thermostat, change(celsius=31))
    worker.handling.forget([ENTITY])
    assert worker.run(Thermostat, change(celsius=31)) == first


def test_message_without_effects_is_done(worker: Worker) -> None:
    assert worker.run(Thermostat, change(celsius=3)) == [Done()]


def test_reminder_calls_its_handler_with_the_name(worker: Worker) -> None:
    (done,) = worker.run(Thermostat, reminder("check"))
    assert [event.properties for event in events(done.effects)] == [{"reminded": "check"}]


def test_question_is_answered_from_the_state_that_it_brings(worker: Worker) -> None:
    (done,) = worker.run(Thermostat, question({"what": "now"}, state={"celsius": 20}))
    assert done.answer == {"celsius": 20, "asked": {"what": "now"}}


def test_question_to_an_absent_entity_sees_an_empty_state(worker: Worker) -> None:
    (done,) = worker.run(Thermostat, question(None))
    assert done.answer == {"celsius": None, "asked": None}


def test_effects_of_a_question_are_named_by_it_and_have_no_cause(worker: Worker) -> None:
    class Answering(Behaviour):
        match = "home/*"

        def on_ask(self, entity: Any, message: Any) -> str:
            entity.set(asked=True)
            entity.remind("later", 1)
            entity.tell("home/other", "hello")
            return "done"

    (done,) = worker.run(Answering, question("q", ask_id="ask-9"))
    found = events(done.effects)
    assert done.answer == "done"
    assert [event.event_id for event in found] == ["effect.ask-9.0", "effect.ask-9.1", "effect.ask-9.2"]
    assert all(event.named_by_client and event.timestamp_ms == NOW_MS for event in found)
    assert terms_in(found[0]) is None
    assert terms_in(found[1]).remind == {"later": 1_000}  # type: ignore[union-attr]
    assert terms_in(found[2]).told == "hello"  # type: ignore[union-attr]


def test_what_is_told_goes_to_on_ask_where_nothing_else_is_defined(worker: Worker) -> None:
    class Noting(Behaviour):
        match = "home/*"

        def on_ask(self, entity: Any, message: Any) -> str:
            entity.set(message=message)
            return "nobody hears this"

    (done,) = worker.run(Noting, told("hello"))
    assert done.answer is None
    assert [event.properties for event in events(done.effects)] == [{"message": "hello"}]


def test_message_that_has_no_handler_is_done(worker: Worker) -> None:
    assert worker.run(Counting, reminder("check"), told("x")) == [Done(), Done()]


def test_question_that_has_no_handler_is_a_fault(worker: Worker) -> None:
    (done,) = worker.run(Counting, question("q"))
    assert done.fault is not None
    assert (done.fault.kind, done.fault.text) == (RAISED, "Counting defines no on_ask")


def test_entity_keeps_its_instance(worker: Worker) -> None:
    assert seen(worker.run(Counting, change(1), change(2))) == [1, 2]
    assert seen(worker.run(Counting, change(3))) == [3]
    assert seen(worker.run(Counting, change(1), entity_id="home/other")) == [1]


def test_forgotten_entity_begins_with_a_fresh_instance(worker: Worker) -> None:
    worker.run(Counting, change(1))
    worker.handling.forget([ENTITY, "home/never-seen"])
    assert seen(worker.run(Counting, change(2))) == [1]


def test_longest_unused_instance_goes_first(watchdog: Watchdog) -> None:
    worker = Worker(watchdog, instances_max=2)
    for name in ("a", "b", "a", "c"):
        worker.run(Counting, change(), entity_id=name)
    assert seen(worker.run(Counting, change(), entity_id="a")) == [3]
    assert seen(worker.run(Counting, change(), entity_id="b")) == [1]


def test_fault_ends_the_run_and_drops_the_instance(worker: Worker) -> None:
    results = worker.run(Counting, change(1), change(2, fail=True), change(3))
    assert len(results) == 2
    assert results[1].effects == []
    assert results[1].fault is not None
    assert results[1].fault.kind == RAISED
    assert seen(worker.run(Counting, change(3))) == [1]


def test_fault_of_one_entity_is_none_of_its_neighbours(worker: Worker) -> None:
    digest = worker.digest(Counting)
    results = worker.run_all(Run("a", digest, [change(fail=True)]), Run("b", digest, [change()]))
    assert results[0][0].fault is not None
    assert seen(results[1]) == [1]


def test_effects_before_the_error_are_dropped(worker: Worker) -> None:
    class Failing(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            entity.set(half=True)
            raise RuntimeError("in between")

    (done,) = worker.run(Failing, change())
    assert done.effects == []
    assert done.fault is not None
    assert done.fault.text.startswith("RuntimeError: in between (test_handling.py:")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_handler_cannot_end_its_process(worker: Worker, error: type[BaseException]) -> None:
    class Ending(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            raise error

    (done,) = worker.run(Ending, change())
    assert done.fault is not None
    assert (done.fault.kind, done.fault.text.split(" ")[0]) == (RAISED, error.__name__)


def test_lack_of_memory_is_a_fault_of_its_own(worker: Worker) -> None:
    class Hoarding(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            bytearray(1 << 62)

    (done,) = worker.run(Hoarding, change())
    assert done.fault is not None
    assert done.fault.kind == TOO_LARGE


def test_instance_that_cannot_be_made_is_a_fault(worker: Worker) -> None:
    class Broken(Behaviour):
        match = "home/*"

        def __init__(self) -> None:
            raise LookupError("no model here")

        def on_change(self, entity: Any, change: Any) -> None:
            pass

    (done,) = worker.run(Broken, change())
    assert done.fault is not None
    assert done.fault.text.startswith("LookupError: no model here")


def test_code_that_is_not_here_is_a_fault_until_it_is(worker: Worker) -> None:
    data = worker.shelf.codes.pop(digest := worker.digest(Counting))
    (done,) = worker.run_all(Run(ENTITY, digest, [change()]))[0]
    assert done.fault is not None
    assert done.fault.kind == NO_CODE
    worker.shelf.codes[digest] = data
    assert seen(worker.run(Counting, change())) == [1]


def test_code_that_cannot_be_read_is_a_fault(worker: Worker) -> None:
    worker.shelf.codes["broken"] = b"no code"
    (done,) = worker.run_all(Run(ENTITY, "broken", [change()]))[0]
    assert done.fault is not None
    assert done.fault.kind == NO_CODE


def test_other_version_of_the_code_has_an_instance_of_its_own(worker: Worker) -> None:
    class Newer(Counting):
        pass

    worker.run(Counting, change(1))
    assert seen(worker.run(Newer, change(2))) == [1]


@pytest.mark.parametrize("answer", [object(), {1: 2}, float("nan"), 1 << 70, "x" * (1 << 20), "\ud800"])
def test_answer_that_nobody_could_read_is_a_fault(worker: Worker, answer: Any) -> None:
    class Answering(Behaviour):
        match = "home/*"

        def on_ask(self, entity: Any, message: Any) -> Any:
            return kinds[message]

    kinds = {"it": answer} if type(answer) is not object else {"it": Ellipsis}
    (done,) = worker.run(Answering, question("it"))
    assert done.fault is not None
    assert (done.fault.kind, done.answer) == (RAISED, None)
    assert "the answer of on_ask" in done.fault.text


def test_coroutine_of_a_handler_that_is_not_async_is_a_fault(worker: Worker) -> None:
    async def work() -> None: ...

    class Deferring(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> Any:
            return work()

    (done,) = worker.run(Deferring, change())
    assert done.fault is not None
    assert done.fault.text == "on_change returned a coroutine: write `async def` before it"


def test_progress_is_told_before_each_item(watchdog: Watchdog) -> None:
    told: list[tuple[int, int]] = []
    worker = Worker(watchdog, progress=lambda run, item: told.append((run, item)))
    digest = worker.digest(Counting)
    worker.run_all(Run("a", digest, [change(), change(fail=True), change()]), Run("b", digest, [change()]))
    assert list(dict.fromkeys(told)) == [(0, 0), (0, 1), (1, 0)]
