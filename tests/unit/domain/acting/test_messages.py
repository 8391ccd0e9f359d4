"""The outbox: what waits, and for whom."""

from __future__ import annotations

from flux_actors.domain.acting.messages import Message, MessageKind, Outbox


def message(position: int, entity_id: str) -> Message:
    return Message(position, entity_id, MessageKind.CHANGE, 1, {})


def test_messages_stand_in_their_order_and_are_counted_by_entity():
    outbox = Outbox([message(1, "a/x")])
    outbox.extend([message(2, "a/x"), message(3, "a/y")])
    assert list(outbox.messages) == [1, 2, 3]
    assert (outbox.waiting("a/x"), outbox.waiting("a/y"), outbox.waiting("a/z")) == (2, 1, 0)


def test_what_was_handled_is_gone_and_what_is_not_there_does_no_harm():
    outbox = Outbox([message(1, "a/x"), message(2, "a/x"), message(3, "a/y")])
    outbox.remove([1, 3, 7])
    assert (len(outbox), outbox.oldest) == (1, 2)
    assert outbox.entities() == ["a/x"]


def test_an_entity_can_be_taken_out_whole():
    outbox = Outbox([message(1, "a/x"), message(2, "a/y"), message(3, "a/x")])
    outbox.remove_of("a/x")
    assert list(outbox.messages) == [2]
    assert outbox.waiting("a/x") == 0
