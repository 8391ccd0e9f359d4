from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.reduction import Reduction, Unbounded
from flux_actors.domain.acting.difference import difference
from tests.unit.behaviour.reducers import packed, run_of


class Marks(list[tuple[str, int, int]]):
    def loads(self, run: int) -> None:
        self.append(("loads", run, 0))

    def reduces(self, run: int, fact: int) -> None:
        self.append(("reduces", run, fact))


class Sharing(Behaviour):
    """Returns one and the same dict for all events, and changes it later."""

    match = "shop/*"
    kept: dict[str, Any] = {}  # noqa: RUF012 - shared on purpose

    def reduce(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        self.kept["sum"] = state.get("sum", 0) + event.properties["add"]
        return self.kept


class Short(Behaviour):
    match = "shop/*"

    def reduce(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        if event.properties.get("memory"):
            raise MemoryError
        return {"ok": True}


class Forgetful(Behaviour):
    """Keeps the last property alone, and sees which ones there were."""

    match = "shop/*"

    def reduce(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        return event.properties | {"before": list(state)}


def reduction_of(cls: type[Behaviour]) -> tuple[Reduction, str]:
    digest, code = packed(cls)
    reduction = Reduction(Unbounded())
    reduction.learn(digest, code)
    return reduction, digest


def test_answer_is_not_what_a_reducer_makes_of_it_later() -> None:
    reduction, digest = reduction_of(Sharing)
    outcomes = reduction.reduce(0, 0, run_of(digest, {"add": 1}, {"add": 1}), Marks())
    assert [msgspec.msgpack.decode(one.state or b"") for one in outcomes] == [{"sum": 1}, {"sum": 2}]


def test_marks_say_what_is_being_done() -> None:
    reduction, digest = reduction_of(Short)
    marks = Marks()
    reduction.reduce(0, 4, run_of(digest, {}, {}), marks)
    reduction.reduce(0, 5, run_of(digest, {}), marks)
    assert marks == [("loads", 4, 0), ("reduces", 4, 0), ("reduces", 4, 1), ("reduces", 5, 0)]


def test_lack_of_memory_is_for_who_runs_the_process() -> None:
    reduction, digest = reduction_of(Short)
    with pytest.raises(MemoryError):
        reduction.reduce(0, 0, run_of(digest, {}, {"memory": True}), Marks())


def test_next_event_of_a_run_begins_with_what_the_fold_has_kept() -> None:
    reduction, digest = reduction_of(Forgetful)
    at_once = reduction.reduce(0, 0, run_of(digest, {"a": 1}, {"b": 1}, {"c": 1}), Marks())
    state: dict[str, Any] = {}
    one_by_one = []
    for name in "abc":
        (outcome,) = reduction.reduce(0, 0, run_of(digest, {name: 1})._replace(state=state), Marks())
        one_by_one.append(outcome)
        after = msgspec.msgpack.decode(outcome.state or b"")
        state = state | difference(state, after)
    assert at_once == one_by_one
