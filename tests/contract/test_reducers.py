"""What all `Reducers` that run users' code promise (flux_actors/domain/acting/reducers.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.behaviour.reducing import DirectReducers, ReducerProcess
from flux_actors.domain.acting.reducers import Reduced
from flux_actors.errors import Unavailable
from tests.unit.behaviour.reducers import CLOCK_US, Counter, packed, run_of
from tests.unit.domain.strategies import few

AnyReducers = DirectReducers | ReducerProcess

DIGEST, CODE = packed(Counter)
ADDS = st.lists(st.lists(st.integers(-100, 100), max_size=5), max_size=5)


@pytest.fixture(scope="module", params=[DirectReducers, ReducerProcess])
def reducers(request: pytest.FixtureRequest) -> Iterator[AnyReducers]:
    found: AnyReducers = request.param()
    found.load(DIGEST, CODE)
    yield found
    found.close()


def states(reduced: list[Reduced]) -> list[dict[str, Any] | None]:
    assert [one.fault for one in reduced] == [""] * len(reduced)
    return [one.state for one in reduced]


def test_events_build_on_one_another(reducers: AnyReducers) -> None:
    (reduced,) = reducers.reduce([run_of(DIGEST, {"add": 1}, {"add": 2}, {"add": 3}, state={"sum": 10})])
    assert states(reduced) == [{"sum": 11}, {"sum": 13}, {"sum": 16}]


def test_entity_that_does_not_exist_begins_empty(reducers: AnyReducers) -> None:
    (reduced,) = reducers.reduce([run_of(DIGEST, {"add": 1}, state=None)])
    assert states(reduced) == [{"sum": 1}]


def test_runs_are_answered_in_their_order(reducers: AnyReducers) -> None:
    runs = [run_of(DIGEST, {"add": number}, entity_id=f"shop/{number}") for number in range(300)]
    assert [states(reduced) for reduced in reducers.reduce(runs)] == [
        [{"sum": number}] for number in range(300)
    ]


@few
@given(ADDS)
def test_sums_are_those_of_plain_python(reducers: AnyReducers, numbers: list[list[int]]) -> None:
    runs = [run_of(DIGEST, *({"add": number} for number in run), state={"sum": 0}) for run in numbers]
    assert [states(reduced) for reduced in reducers.reduce(runs)] == [
        [{"sum": sum(run[: index + 1])} for index in range(len(run))] for run in numbers
    ]


def test_nothing_and_empty_runs_are_answered(reducers: AnyReducers) -> None:
    assert reducers.reduce([]) == []
    assert reducers.reduce([run_of(DIGEST), run_of(DIGEST, {"add": 1})]) == [[], [Reduced({"sum": 1})]]


def test_keys_that_are_gone_are_not_in_the_answer(reducers: AnyReducers) -> None:
    (reduced,) = reducers.reduce([run_of(DIGEST, {"do": "drop"}, state={"sum": 1, "name": "x"})])
    assert states(reduced) == [{"name": "x"}]


def test_event_says_who_when_and_where(reducers: AnyReducers) -> None:
    (reduced,) = reducers.of_partition(7).reduce([run_of(DIGEST, {"do": "seen"})])
    assert states(reduced) == [{"seen": ["event-0", "test", CLOCK_US, "7.1.0"]}]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("raise", "ValueError: no such thing: <tests.unit.behaviour.reducers.Counter object> (reducers.py:"),
        ("exit", "SystemExit: 3 (reducers.py:"),
        (
            "none",
            'Refused: the state that reduce returned must be a dict such as {"on": True}, not type None',
        ),
        ("odd", "Refused: the state that reduce returned.sum is of type set"),
        ("large", "Refused: the state that reduce returned has 2097163 bytes; at most 1048576"),
    ],
)
def test_fault_changes_nothing_and_the_next_event_goes_on(
    reducers: AnyReducers, what: str, text: str
) -> None:
    runs = [run_of(DIGEST, {"add": 1}, {"do": what}, {"add": 2}), run_of(DIGEST, {"add": 5})]
    (before, fault, behind), beside = reducers.reduce(runs)
    assert (before.state, behind.state) == ({"sum": 1}, {"sum": 3})
    assert fault.fault.startswith(text)
    assert (fault.state, fault.overran) == (None, False)
    assert states(beside) == [{"sum": 5}]


def test_fault_is_told_alike_each_time(reducers: AnyReducers) -> None:
    run = run_of(DIGEST, {"do": "raise"})
    assert reducers.reduce([run]) == reducers.reduce([run])


def test_reducer_has_no_memory(reducers: AnyReducers) -> None:
    (reduced,) = reducers.reduce([run_of(DIGEST, {"do": "remember"}, {"do": "remember"})])
    assert states(reduced) == [{"memory": 1}, {"memory": 1}]


def test_caller_keeps_its_state(reducers: AnyReducers) -> None:
    state = {"sum": 1}
    reducers.reduce([run_of(DIGEST, {"add": 1}, state=state)])
    assert state == {"sum": 1}


def test_answer_of_many_large_states_comes_whole(reducers: AnyReducers) -> None:
    size = 900_000
    (reduced,) = reducers.reduce([run_of(DIGEST, *({"do": "fill", "bytes": size} for _ in range(20)))])
    assert [len(state["text"]) for state in states(reduced) if state] == [size] * 20


def test_call_with_many_large_states_comes_whole(reducers: AnyReducers) -> None:
    state = {"text": "x" * 1_000_000}
    runs = [run_of(DIGEST, {"add": 1}, state=state | {"sum": number}) for number in range(40)]
    found = [state["sum"] for reduced in reducers.reduce(runs) for state in states(reduced) if state]
    assert found == list(range(1, 41))


def test_code_that_is_not_known_can_be_had_later(reducers: AnyReducers) -> None:
    with pytest.raises(Unavailable):
        reducers.reduce([run_of(DIGEST, {"add": 1}), run_of("unknown", {"add": 1})])


def test_code_that_cannot_be_loaded_is_a_fault_of_its_entities(reducers: AnyReducers) -> None:
    reducers.load("broken", b"no code at all")
    broken, good = reducers.reduce([run_of("broken", {"add": 1}, {"add": 1}), run_of(DIGEST, {"add": 1})])
    assert [(one.state, one.overran) for one in broken] == [(None, True)]
    assert broken[0].fault.startswith("its code cannot be loaded: UnpicklingError")
    assert states(good) == [{"sum": 1}]
