"""The checks of a scenario find what was planted: a loss, a double, a disorder, and each other thing."""

from __future__ import annotations

import pytest

from flux_cluster.chaos.checks import (
    count_faults,
    history_faults,
    outage_faults,
    state_faults,
    watch_faults,
)
from flux_cluster.chaos.onlooker import Onlooker
from flux_cluster.chaos.scenario import Check

ACKED = ["a", "b", "c", "d"]


def test_a_history_that_is_what_was_acknowledged_is_right():
    assert list(history_faults("n/e", ACKED, ACKED)) == []
    assert list(history_faults("n/e", [], [])) == []


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (["a", "c", "d"], ["1 acknowledged events are lost, such as b"]),
        (["a", "b", "c"], ["1 acknowledged events are lost, such as d"]),
        ([], ["4 acknowledged events are lost, such as a"]),
        (["a", "b", "c", "b", "d"], ["1 events were applied twice, such as b"]),
        (["a", "c", "b", "d"], ["its events were applied in another order than they were written in"]),
        (["a", "b", "x", "c", "d"], ["1 events were applied but never acknowledged, such as x"]),
        (
            ["b", "a", "a", "x"],
            ["2 acknowledged", "1 events were applied twice", "never acknowledged", "another order"],
        ),
    ],
    ids=["lost", "last lost", "all lost", "twice", "disorder", "unknown", "all at once"],
)
def test_a_history_that_is_not_is_told(history, told):
    found = list(history_faults("n/e", ACKED, history))
    assert len(found) == len(told)
    assert all(words in fault and fault.startswith("n/e: ") for words, fault in zip(told, found, strict=True))


def test_numbers_that_each_were_made_by_one_counter_are_right():
    assert list(count_faults("n/c", [[1, 3, 4], [2, 5], []], 5)) == []
    assert list(count_faults("n/c", [[], []], 0)) == []


@pytest.mark.parametrize(
    ("counted", "found", "told"),
    [
        ([[1, 2], [2, 3]], 3, "2 was acknowledged to two counters"),
        ([[1], [3]], 3, "2 was counted but acknowledged to nobody"),
        ([[1, 2], [3]], 2, "3 was acknowledged, and it is at 2"),
        ([[2, 1], [3]], 3, "a counter was acknowledged [2, 1], which does not grow"),
    ],
    ids=["twice", "unknown", "lost", "back"],
)
def test_numbers_that_were_not_are_told(counted, found, told):
    assert list(count_faults("n/c", counted, found)) == [f"n/c: {told}"]


def test_a_state_that_differs_is_told_with_an_example():
    expected = {"a": {"n": 1}, "b": {"n": 2}}
    assert list(state_faults("the door 7", expected, dict(expected))) == []
    (told,) = state_faults("the door 7", expected, {"b": {"n": 3}, "c": {}})
    assert told == "the door 7 has 3 entities otherwise, such as a: None instead of {'n': 1}"


def onlooker(*numbers: int) -> Onlooker:
    """One that was told so much of an entity."""
    made = Onlooker("n/*", ("n/*",))
    for number in numbers:
        made.take(
            {"type": "delta", "entity_id": "n/e", "position": f"0.{number}.0", "properties": {"n": number}}
        )
    return made


WRITTEN = {"n/e": [1, 2, 3]}
STATE = {"n/e": {"n": 3}, "other/e": {"n": 9}}


@pytest.mark.parametrize("numbers", [(1, 2, 3), (3,)], ids=["all", "since it came"])
def test_a_watcher_that_was_told_everything_since_it_began_is_right(numbers):
    assert list(watch_faults(onlooker(*numbers), STATE, WRITTEN)) == []


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((1, 3), "was told [1, 3] of n/e, which was written [1, 2, 3]"),
        ((1, 2), "has 1 entities otherwise, such as n/e: {'n': 2} instead of {'n': 3}"),
        ((1, 3, 2), "came after (0, 3, 0)"),
        ((2, 3, 3), "came after (0, 3, 0)"),
    ],
    ids=["gap", "behind", "disorder", "twice"],
)
def test_a_watcher_that_was_told_otherwise_is_told(numbers, told):
    assert any(told in fault for fault in watch_faults(onlooker(*numbers), STATE, WRITTEN))


def test_a_watcher_that_begins_anew_or_is_out_of_step_forgets():
    made = onlooker(1, 2)
    made.take({"type": "resync", "entity_id": "n/*"})
    assert (made.state, made.told, made.resyncs) == ({}, {}, 1)
    made.take({"type": "state", "entity": {"id": "n/e", "properties": {"n": 3}}, "position": "0.3.0"})
    assert list(watch_faults(made, STATE, WRITTEN)) == []
    made.begin_anew()
    assert made.state == {}


def test_a_deleted_entity_is_gone_and_what_is_unknown_is_trouble():
    made = onlooker(1)
    made.take({"type": "entity_deleted", "entity_id": "n/e", "position": "0.2.0"})
    made.take({"type": "surprise"})
    assert made.state == {}
    assert made.trouble == ["was told {'type': 'surprise'}"]
    assert made.lines_about("n/e")[-1].startswith("surprise None")


def test_outages_are_held_to_their_bounds():
    check = Check(write_outage_s=1, read_outage_s=5, rest_s=60)
    assert list(outage_faults(check, 1.0, 5.0, 60.0)) == []
    told = list(outage_faults(check, 1.26, 5.1, 61.0))
    assert told == [
        "publishes were taken again only after 1.3 s, instead of 1 s",
        "lists were answered again only after 5.1 s, instead of 5 s",
        "all was as before only after 61.0 s, instead of 60 s",
    ]
