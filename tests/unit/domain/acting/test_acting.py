from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.acting.acting import MAILBOX_FULL, REDUCER_FAILED, REDUCER_OVERRAN
from flux_actors.domain.acting.catalogue import Deployed, Supervision
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.acting.difference import difference
from flux_actors.domain.acting.messages import MessageKind
from flux_actors.domain.change import Step
from flux_actors.domain.event import DELETED, Event
from flux_actors.domain.position import pack
from flux_actors.domain.terms import START, STOP, Order, Terms
from flux_actors.log.block import Block
from tests.unit.domain.acting.small_acting import (
    COUNTING,
    REACTING,
    REDUCING,
    ActingLog,
    catalogue,
    note,
    version,
)
from tests.unit.domain.small_log import MS, event

STOPS = version(COUNTING, handles=["reduce", "on_change"], supervision=Supervision("stop"))
STOPPING = catalogue(Deployed("Counting", STOPS), revision=3)


def changes_of(steps: list[Step]) -> list[dict[str, Any] | None]:
    return [step[2] for step in steps]


def test_entity_without_behaviour_is_merged_and_makes_no_message() -> None:
    log = ActingLog(catalogue(Deployed("Other", version("other", "b/*"))))
    applied = log.put(event({"v": 1}), event({"w": 2}))
    assert log.entity == {"v": 1, "w": 2}
    assert not applied.messages


def test_reducer_takes_the_place_of_the_merge_from_where_it_was_deployed() -> None:
    log = ActingLog()
    log.put(event({"n": 5}))
    log.deploy(REDUCING)
    applied = log.put(event({"n": 2}), event({"n": 3}))
    assert log.entity == {"n": None, "events": 2, "sum": 5}
    assert changes_of(applied.changes) == [{"n": None, "events": 1, "sum": 2}, {"events": 2, "sum": 5}]


def test_all_runs_of_a_pull_are_reduced_in_one_call() -> None:
    log = ActingLog(REDUCING)
    log.put(*(event({"n": 1}, key=f"a/{number}") for number in range(50)))
    assert log.reducers.calls == 1


def test_event_that_its_reducer_cannot_take_changes_nothing_and_is_told() -> None:
    log = ActingLog(REDUCING)
    applied = log.put(event({"n": 1}), event({"n": "one"}), event({"n": 2}))
    assert log.entity == {"events": 2, "sum": 3}
    assert [(fault.position, fault.kind) for fault in applied.faults] == [(pack(2, 1), REDUCER_FAILED)]
    assert changes_of(applied.changes) == [{"events": 1, "sum": 1}, {"events": 2, "sum": 3}]


def test_reducer_that_must_stop_at_a_fault_leaves_the_entity_as_it_is() -> None:
    stopping = version(COUNTING, handles=["reduce"], supervision=Supervision("stop"))
    log = ActingLog(catalogue(Deployed("Counting", stopping)))
    log.put(event({"n": 1}), event({"n": "one"}), event({"n": 2}))
    log.put(event({"n": 3}))
    assert log.entity == {"events": 1, "sum": 1}
    log.put(note(Terms(order=Order(START, "a/1"))))
    log.put(event({"n": 4}))
    assert log.entity == {"events": 2, "sum": 5}


def test_fault_that_stops_takes_no_message_of_what_came_before_it() -> None:
    log = ActingLog(catalogue(Deployed("Counting", STOPS)))
    log.put(event({"n": 1}), event({"n": "one"}), event({"n": 2}))
    assert log.waiting == [pack(2, 0)]


def test_full_mailbox_stops_the_reducer_at_its_place(monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "mailbox_messages_max", 1)
    log = ActingLog(REDUCING)
    log.put(event({"n": 1}), event({"n": 2}), event({"n": 3}))
    assert log.entity == {"events": 2, "sum": 3}
    assert log.waiting == [pack(2, 0)]


def test_reducer_that_overran_waits_for_an_order_and_all_agree_behind_it() -> None:
    log = ActingLog(REDUCING)
    log.put(event({"n": 1}))
    applied = log.put(event({"n": "forever"}), event({"n": 2}))
    assert [fault.kind for fault in applied.faults] == [REDUCER_OVERRAN]
    assert log.entity == {"events": 1, "sum": 1}
    log.put(event({"n": 3}))
    stop = Order(STOP, "a/1", "took too long", pack(3, 0), dict(log.entity or {}), sets_state=True)
    log.put(note(Terms(order=stop)))

    other = ActingLog(REDUCING)  # a faster machine, where it did not overrun
    other.put(event({"n": 1}))
    other.put(event({"n": 0}), event({"n": 2}))
    other.put(event({"n": 3}))
    told = other.put(note(Terms(order=stop)))
    assert other.entity == log.entity == {"events": 1, "sum": 1}
    assert changes_of(told.changes) == [{"events": 1, "sum": 1}]
    assert other.state.acting.stopped == log.state.acting.stopped
    assert other.state.entities["a/1"].position == log.state.entities["a/1"].position == pack(5, 0)
    for one in (log, other):
        one.put(event({"n": 9}))
        assert one.entity == {"events": 1, "sum": 1}


def test_messages_in_front_of_what_stopped_a_reducer_are_kept_however_the_log_is_pulled() -> None:
    written = [[event({"n": 1}), event({"n": 2})], [event({"n": "one"}), event({"n": 3})]]
    for pulls in ([1, 1], [2]):
        log = ActingLog(STOPPING)
        blocks = [(n, Block(1, n, n, some)) for n, some in enumerate(written, 2)]
        for count in pulls:
            log.state.apply(blocks[:count])
            del blocks[:count]
        assert log.waiting == [pack(2, 0), pack(2, 1)]
        assert log.entity == {"events": 2, "sum": 3}


def test_reducer_of_an_entity_with_a_full_mailbox_is_stopped_at_one_event_however_the_log_is_pulled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "mailbox_messages_max", 2)
    for pulls in ([1, 1, 1, 1], [4]):
        log = ActingLog(REDUCING)
        blocks = [(n, Block(1, n, n, [event({"n": 1})])) for n in range(2, 6)]
        for count in pulls:
            log.state.apply(blocks[:count])
            del blocks[:count]
        assert log.entity == {"events": 3, "sum": 3}
        assert log.waiting == [pack(2, 0), pack(3, 0)]


def test_deletion_needs_no_reducer_and_what_comes_behind_begins_anew() -> None:
    log = ActingLog(REDUCING)
    log.put(event({"n": 1}), event({DELETED: True}), event({"n": 7}))
    assert log.entity == {"events": 1, "sum": 7}
    log.put(event({DELETED: True}))
    assert log.entity is None


def test_change_is_told_with_what_was_before_and_what_is_now() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}))
    log.put(event({"v": 2, "w": 3}, name="mine"))
    (first, second) = log.state.acting.outbox.messages.values()
    assert (first.properties, first.previous, first.after) == ({"v": 1}, {}, {"v": 1})
    assert (second.properties, second.previous, second.after) == (
        {"v": 2, "w": 3},
        {"v": 1},
        {"v": 2, "w": 3},
    )
    assert (second.kind, second.event_id, second.source) == (MessageKind.CHANGE, "mine", "s")
    assert second.position == pack(3, 0)


def test_each_event_of_a_run_is_a_message_with_its_own_state() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), event({"v": 2}), event({"w": 3}))
    assert [one.after for one in log.state.acting.outbox.messages.values()] == [
        {"v": 1},
        {"v": 2},
        {"v": 2, "w": 3},
    ]


def test_messages_of_many_entities_stand_in_log_order() -> None:
    log = ActingLog(REACTING)
    log.put(*(event({"v": number}, key=f"a/{number % 3}") for number in range(9)))
    assert log.waiting == [pack(2, number) for number in range(9)]


def test_deletion_is_told_and_one_of_nothing_is_not() -> None:
    log = ActingLog(REACTING)
    log.put(event({DELETED: True}), event({"v": 1}), event({DELETED: True}))
    messages = list(log.state.acting.outbox.messages.values())
    assert [(one.properties, one.after) for one in messages] == [({"v": 1}, {"v": 1}), (None, None)]


def test_work_that_is_done_leaves_the_outbox() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), event({"v": 2}), event({"v": 3}))
    log.put(note(Terms(handled=[pack(2, 0), pack(2, 2), pack(99, 9)])))
    assert log.waiting == [pack(2, 1)]
    assert log.state.acting.outbox.waiting("a/1") == 1
    assert log.state.events_total == 3


def test_stopped_entity_gets_no_messages_until_it_is_started() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), event({"v": 1}, key="a/2"))
    log.put(note(Terms(order=Order(STOP, "a/1", "raised"))))
    log.put(event({"v": 2}))
    assert [one.entity_id for one in log.state.acting.outbox.messages.values()] == ["a/2"]
    assert log.entity == {"v": 2}
    log.put(note(Terms(order=Order(START, "a/1"))))
    log.put(event({"v": 3}))
    assert log.waiting == [pack(2, 1), pack(6, 0)]


def test_behaviour_that_was_escalated_gets_no_messages() -> None:
    log = ActingLog(REACTING)
    stopped = msgspec.structs.replace(REACTING.deployed[0], stopped=True)
    log.deploy(catalogue(stopped, revision=2))
    log.put(event({"v": 1}))
    assert log.waiting == []


def test_older_catalogue_changes_nothing() -> None:
    log = ActingLog(catalogue(*REACTING.deployed, revision=5))
    log.deploy(catalogue(revision=4))
    log.put(event({"v": 1}))
    assert log.waiting == [pack(3, 0)]


def test_removed_behaviour_is_told_nothing() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}))
    log.deploy(catalogue(revision=2))
    log.put(event({"v": 2}))
    assert log.waiting == [pack(2, 0)]


def test_full_mailbox_stops_the_entity(monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "mailbox_messages_max", 3)
    log = ActingLog(REACTING)
    applied = log.put(*(event({"v": number}) for number in range(5)), event({"v": 0}, key="a/2"))
    assert [(fault.kind, fault.stops) for fault in applied.faults] == [(MAILBOX_FULL, True)]
    assert log.state.acting.outbox.waiting("a/1") == 3
    assert log.state.acting.outbox.waiting("a/2") == 1
    assert log.entity == {"v": 4}


def cause(position: int, index: int = 0, settled: int = 0, depth: int = 1, by: str = "b/cause") -> Terms:
    return Terms(cause=Cause(7, by, position, index, settled, depth))


def test_effect_counts_once_however_often_it_is_published() -> None:
    log = ActingLog()
    for _ in range(2):
        log.put(event({"v": 1}, cause(10)), event({"w": 1}, cause(10, 1)))
        log.put(event({"v": 2}))
    assert log.entity == {"v": 2, "w": 1}
    assert log.state.events_total == 4


def test_effect_that_is_settled_does_not_count_again() -> None:
    log = ActingLog()
    log.put(event({"v": 1}, cause(10, by="b/first")))
    log.put(event({"v": 2}, cause(30, settled=20)))
    log.put(event({"v": 3}, cause(15, by="b/other")))
    assert log.entity == {"v": 2}


def test_effects_carry_how_many_led_to_them() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}, cause(10, depth=4)))
    (message,) = log.state.acting.outbox.messages.values()
    assert message.depth == 4


def test_reminder_is_told_once_and_is_gone() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), clock_ms=1_000)
    log.put(event({}, Terms(remind={"check": 500, "later": 9_000})), clock_ms=1_000)
    due = event({}, Terms(expires_us=1_500 * MS, reminder="check"))
    log.put(due, clock_ms=1_499)  # by a shard whose clock is ahead
    log.put(due, clock_ms=1_500)
    log.put(due, clock_ms=1_600)
    reminders = [m for m in log.state.acting.outbox.messages.values() if m.kind is MessageKind.REMINDER]
    assert [(one.content, one.clock_us) for one in reminders] == [("check", 1_500 * MS)]
    leases = log.state.entities["a/1"].leases
    assert leases is not None
    assert leases.reminder_rows() == [("later", 10_000 * MS)]


def test_reminder_that_was_set_anew_does_not_come_at_its_old_time() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), clock_ms=0)
    log.put(event({}, Terms(remind={"check": 500})), clock_ms=0)
    log.put(event({}, Terms(remind={"check": 900})), clock_ms=100)
    applied = log.put(event({}, Terms(expires_us=500 * MS, reminder="check")), clock_ms=600)
    assert not applied.messages
    assert [lease.name for lease in log.state.timers.due(2_000 * MS, 10)].count("check") >= 1


def test_reminders_end_with_their_entity() -> None:
    log = ActingLog(REACTING)
    log.put(event({"v": 1}), event({}, Terms(remind={"check": 500})))
    log.put(event({DELETED: True}), event({"v": 2}))
    applied = log.put(event({}, Terms(expires_us=500 * MS, reminder="check")), clock_ms=700)
    assert not applied.messages


def test_what_is_told_waits_as_a_message_and_changes_nothing() -> None:
    log = ActingLog(REACTING)
    log.put(event({}, Terms(told={"do": "it"})))
    (message,) = log.state.acting.outbox.messages.values()
    assert (message.kind, message.content, message.after) == (MessageKind.TOLD, {"do": "it"}, None)
    assert log.entity is None


def test_canary_holds_for_its_prefix_alone() -> None:
    both = Deployed("Echo", version("old", handles=["on_change"]), version("new", handles=[]), "a/new")
    log = ActingLog(catalogue(both))
    log.put(event({"v": 1}, key="a/new-1"), event({"v": 1}, key="a/old-1"))
    assert [one.entity_id for one in log.state.acting.outbox.messages.values()] == ["a/old-1"]


def test_closest_pattern_wins() -> None:
    wide = Deployed("Wide", version("wide", "a/*"))
    close = Deployed("Close", version("close", "a/b/*"))
    found = catalogue(wide, close)
    assert found.binding("a/b/c").name == "Close"
    assert found.binding("a/c").name == "Wide"
    assert found.binding("flux-core/x").name == ""


values = st.none() | st.integers(0, 3) | st.booleans() | st.floats(0, 3)
states = st.dictionaries(st.sampled_from("abc"), values)


@given(states, states)
def test_difference_leads_from_one_state_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    reached = before | difference(before, after)
    kept = {name: value for name, value in reached.items() if name in after}
    assert msgspec.json.encode(kept, order="sorted") == msgspec.json.encode(after, order="sorted")
    assert all(value is None for name, value in reached.items() if name not in after)


events = st.builds(
    event,
    st.sampled_from([{"n": 1}, {"n": 2}, {"n": "one"}, {DELETED: True}, {}]),
    st.sampled_from([None, None, cause(1), cause(2), cause(2, 1), Terms(remind={"r": 1}), Terms(told="x")]),
    st.just(""),
    st.sampled_from(["a/1", "a/2", "b/1"]),
)
notes = st.sampled_from(
    [
        note(Terms(control=STOPPING)),
        note(Terms(control=REDUCING)),
        note(Terms(control=catalogue(Deployed("Counting", STOPS), revision=3))),
        note(Terms(control=catalogue(*REACTING.deployed, revision=2))),
        note(Terms(order=Order(STOP, "a/1", "x"))),
        note(Terms(order=Order(START, "a/1"))),
        note(Terms(handled=[pack(1, 0), pack(2, 0), pack(2, 1)])),
    ]
)
blocks = st.lists(st.lists(events | notes, min_size=1, max_size=4), min_size=1, max_size=8)


def everything(log: ActingLog) -> Any:
    acting, state = log.state.acting, log.state
    rows = sorted((actor.row() for actor in state.entities.values()), key=lambda row: row.entity_id)
    return (
        [msgspec.to_builtins(row) for row in rows],
        list(acting.outbox.messages.items()),
        acting.causes.rows(),
        acting.stopped,
        acting.catalogue,
        state.events_total,
    )


@given(blocks, st.sets(st.integers(1, 7)), st.sampled_from([2, 10_000]))
def test_state_does_not_depend_on_how_the_log_was_pulled(
    written: list[list[Event]], cuts: set[int], waiting_max: int
) -> None:
    with mock.patch.object(limits, "mailbox_messages_max", waiting_max):
        check_pulls(written, cuts)


def check_pulls(written: list[list[Event]], cuts: set[int]) -> None:
    log = [(n, Block(1, n, n * MS, some, has_terms=True)) for n, some in enumerate(written, 1)]
    one_by_one, in_pulls = ActingLog(), ActingLog()
    told: list[Step] = []
    for numbered in log:
        told += one_by_one.state.apply([numbered]).changes
    told_in_pulls: list[Step] = []
    for first, last in pairwise(sorted({0, *(cut for cut in cuts if cut < len(log)), len(log)})):
        told_in_pulls += in_pulls.state.apply(log[first:last]).changes
    assert everything(one_by_one) == everything(in_pulls)
    assert told == told_in_pulls
