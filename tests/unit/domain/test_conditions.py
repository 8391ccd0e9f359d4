from __future__ import annotations

from flux_actors.domain.event import DELETED
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, PRESENT, Terms
from tests.unit.domain.small_log import Log, at, event


def test_event_applies_where_its_entity_stands_as_it_says() -> None:
    log = Log()
    log.put(event({"n": 1}))
    assert log.put(event({"n": 2}, at(1))).refused == []
    assert log.put(event({"n": 3}, at(1))).refused == [pack(3, 0)]
    assert log.entity == {"n": 2}


def test_of_two_in_one_block_that_name_the_same_state_the_first_wins() -> None:
    log = Log()
    log.put(event({"n": 1}))
    applied = log.put(event({"n": 2}, at(1)), event({"n": 3}, at(1)))
    assert applied.refused == [pack(2, 1)]
    assert [step[2] for step in applied.changes] == [{"n": 2}]


def test_plain_event_before_it_in_the_block_counts() -> None:
    log = Log()
    assert log.put(event({"n": 1}), event({"n": 2}, Terms(condition=ABSENT))).refused == [pack(1, 1)]
    assert log.entity == {"n": 1}


def test_condition_of_another_partition_is_never_met() -> None:
    log = Log()
    log.put(event({"n": 1}))
    assert log.put(event({"n": 2}, Terms(condition=(1, pack(1, 0))))).refused == [pack(2, 0)]


def test_deleted_entity_stands_nowhere() -> None:
    log = Log()
    log.put(event({"n": 1}))
    log.put(event({DELETED: True}))
    assert log.put(event({"n": 2}, at(2))).refused == [pack(3, 0)]
    assert log.put(event({"n": 3}, Terms(condition=ABSENT))).refused == []
    assert log.entity == {"n": 3}


def test_refused_event_does_not_use_its_name_up_and_is_in_no_history() -> None:
    log = Log()
    log.put(event({"n": 1}))
    log.put(event({"n": 2}, Terms(condition=ABSENT), "id"))
    assert log.state.events_total == 1
    log.put(event({"n": 3}, Terms(condition=PRESENT), "id"))
    assert log.entity == {"n": 3}
    positions = log.state.entities["a/1"].positions(0, 1 << 62, 9)
    assert [position for position, _ in positions] == [pack(3, 0), pack(1, 0)]


def test_retry_of_one_that_was_applied_is_no_refusal() -> None:
    log = Log()
    first = event({"n": 1}, Terms(condition=ABSENT), "id")
    log.put(first)
    assert log.put(first).refused == []
    assert log.state.events_total == 1


def test_refused_event_makes_no_entity() -> None:
    log = Log()
    assert log.put(event({"n": 1}, Terms(condition=PRESENT))).refused == [pack(1, 0)]
    assert log.state.known == 0
