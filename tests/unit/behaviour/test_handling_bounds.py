"""What one entity's handlers may take, and what comes of more."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.wire import CYCLE, RAISED, TOO_LONG, TOO_MANY, Done, Fault
from flux_actors.domain.acting.catalogue import Bounds
from tests.unit.behaviour.working import Worker, change, events, question, told


def fault(done: Done) -> Fault:
    assert done.fault is not None
    assert done.effects == []
    return done.fault


class Emitting(Behaviour):
    match = "home/*"
    bounds = Bounds(effects_max=5, effects_per_s=2.0, depth_max=3)

    def on_change(self, entity: Any, change: Any) -> None:
        for number in range(change.properties["count"]):
            entity.emit("home/other", {"number": number})

    def on_tell(self, entity: Any, message: Any) -> None:
        for _ in range(100):
            with suppress(Exception):  # a handler that wants to hear nothing
                entity.set(on=True)


def test_handler_that_loops_is_interrupted(worker: Worker) -> None:
    class Looping(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        def on_change(self, entity: Any, change: Any) -> None:
            entity.set(begun=True)
            while True:
                pass

    (done,) = worker.run(Looping, change())
    assert fault(done).kind == TOO_LONG
    assert fault(done).text.startswith("on_change ran for more than 0.02 s (test_handling_bounds.py:")


def test_handler_that_catches_all_errors_is_interrupted_until_it_ends(worker: Worker) -> None:
    class Stubborn(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        def on_change(self, entity: Any, change: Any) -> None:
            for _ in range(3):
                try:
                    while True:
                        pass
                except BaseException:  # noqa: BLE001, S110 - as stubborn as can be
                    pass

    (done,) = worker.run(Stubborn, change())
    assert fault(done).kind == TOO_LONG


def test_constructor_that_loops_is_interrupted(worker: Worker) -> None:
    class Looping(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        def __init__(self) -> None:
            while True:
                pass

        def on_change(self, entity: Any, change: Any) -> None:
            pass

    assert fault(worker.run(Looping, change())[0]).kind == TOO_LONG


def test_error_that_loops_when_it_is_told_is_named_by_its_type(worker: Worker) -> None:
    class Endless(Exception):
        def __str__(self) -> str:
            while True:
                self.args = ()
            return "never"

    class Raising(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            raise Endless

    assert fault(worker.run(Raising, change())[0]) == Fault(RAISED, "Endless")


def test_answer_that_loops_when_it_is_read_is_interrupted(worker: Worker) -> None:
    class Answering(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.02)

        def on_ask(self, entity: Any, message: Any) -> Any:
            class Endless(dict[str, int]):
                def items(self) -> Any:
                    while True:
                        pass

            return Endless()

    assert fault(worker.run(Answering, question("q"))[0]).kind == TOO_LONG


def test_short_handlers_in_a_long_run_are_not_interrupted(worker: Worker) -> None:
    class Brief(Behaviour):
        match = "home/*"
        bounds = Bounds(handler_s=0.25)

        def on_change(self, entity: Any, change: Any) -> None:
            until_s = time.monotonic() + 0.01
            while time.monotonic() < until_s:
                pass

    results = worker.run(Brief, *(change(number) for number in range(1, 41)))
    assert results == [Done()] * 40


def test_effects_up_to_the_bound_are_allowed_and_one_more_is_a_fault(worker: Worker) -> None:
    assert len(worker.run(Emitting, change(count=5))[0].effects) == 5
    assert fault(worker.run(Emitting, change(count=6))[0]) == Fault(
        TOO_MANY, "more than 5 effects of one message"
    )


def test_bound_holds_although_the_handler_catches_its_error(worker: Worker) -> None:
    assert fault(worker.run(Emitting, told("go"))[0]).kind == TOO_MANY


def test_effects_of_one_entity_have_a_rate(worker: Worker) -> None:
    batch = [change(number, count=5) for number in range(1, 6)]
    results = worker.run(Emitting, *batch)
    assert [len(done.effects) for done in results] == [5, 5, 5, 5, 0]
    assert fault(results[-1]) == Fault(TOO_MANY, "home/hall has more than 2 effects per s")
    worker.clock.now_s += 2.4
    assert fault(worker.run(Emitting, change(count=5))[0]).kind == TOO_MANY
    worker.clock.now_s += 0.1
    assert len(worker.run(Emitting, change(count=5))[0].effects) == 5


def test_rate_is_that_of_each_entity_for_itself(worker: Worker) -> None:
    worker.run(Emitting, *(change(number, count=5) for number in range(1, 5)))
    assert len(worker.run(Emitting, change(count=5), entity_id="home/other")[0].effects) == 5


def test_chain_of_effects_that_is_too_deep_is_a_cycle(worker: Worker) -> None:
    (done,) = worker.run(Emitting, change(depth=2, count=1))
    assert [event.terms.cause.depth for event in events(done.effects)] == [3]  # type: ignore[attr-defined]
    assert fault(worker.run(Emitting, change(depth=3, count=1))[0]).kind == CYCLE


def test_reminder_begins_a_new_chain(worker: Worker) -> None:
    class Reminding(Behaviour):
        match = "home/*"
        bounds = Bounds(depth_max=3)

        def on_change(self, entity: Any, change: Any) -> None:
            entity.remind("later", 1)
            entity.forget("never")

    assert len(worker.run(Reminding, change(depth=3))[0].effects) == 2


@pytest.mark.parametrize("verb", ["set", "tell", "emit"])
def test_whatever_wakes_an_entity_counts_for_a_cycle(worker: Worker, verb: str) -> None:
    class Waking(Behaviour):
        match = "home/*"
        bounds = Bounds(depth_max=3)

        def on_change(self, entity: Any, change: Any) -> None:
            match change.properties["verb"]:
                case "set":
                    entity.set(on=True)
                case "tell":
                    entity.tell("home/other", "hello")
                case "emit":
                    entity.emit("home/other", {})

    assert fault(worker.run(Waking, change(depth=3, verb=verb))[0]).kind == CYCLE


def test_effects_of_one_message_have_a_size(worker: Worker) -> None:
    class Shouting(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None:
            for _ in range(20):
                entity.set(text="x" * 1_000_000)

    assert fault(worker.run(Shouting, change())[0]).kind == TOO_MANY
