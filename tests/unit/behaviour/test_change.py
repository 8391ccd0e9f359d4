from __future__ import annotations

from flux_actors.behaviour.change import Change, SeenEvent
from flux_actors.domain.acting.messages import Message, MessageKind
from flux_actors.domain.acting.reducers import Fact
from flux_actors.domain.position import pack

SET = Message(pack(9, 4), "a/b", MessageKind.CHANGE, 77, {"x": 1}, {"x": 1}, {"x": 0}, "id-1", "me")
GONE = Message(pack(9, 5), "a/b", MessageKind.CHANGE, 78, None, None, {"x": 1}, "id-2", "me")


def test_change_says_what_is_new_and_what_was() -> None:
    change = Change(3, SET)
    assert (change.properties, change.previous, change.deleted) == ({"x": 1}, {"x": 0}, False)
    assert (change.position, repr(change)) == ("3.9.4", "<change {'x': 1} at 3.9.4>")


def test_deletion_sets_nothing() -> None:
    change = Change(3, GONE)
    assert (change.properties, change.previous, change.deleted) == ({}, {"x": 1}, True)
    assert (change.event.properties, repr(change)) == ({}, "<change deleted at 3.9.5>")


def test_change_knows_its_event() -> None:
    event = Change(3, SET).event
    assert (event.id, event.source, event.time_us, event.position) == ("id-1", "me", 77, "3.9.4")
    assert (event.properties, repr(event)) == ({"x": 1}, "<event id-1 at 3.9.4>")


def test_fact_is_seen_as_an_event() -> None:
    event = SeenEvent.of_fact(2, Fact({"y": 2}, pack(5, 0), 99, "id-3", "you"))
    assert (event.id, event.source, event.time_us, event.position) == ("id-3", "you", 99, "2.5.0")
    assert event.properties == {"y": 2}


def test_change_that_is_written_into_leaves_the_state_alone() -> None:
    message = Message(1 << 12, "a/1", MessageKind.CHANGE, 1, None, {"v": 1}, whole=True)
    Change(0, message).properties["v"] = 2
    assert message.after == {"v": 1}
