"""The mailbox of an entity: what is taken out at once, and how large that is."""

from __future__ import annotations

import asyncio
from typing import Any

from flux_actors.behaviour.mailbox import Asked, Mailbox, size_of
from flux_actors.domain.acting.messages import Message, MessageKind


def message(position: int, state: dict[str, Any] | None = None) -> Message:
    return Message(position, "a/x", MessageKind.CHANGE, 1, state)


def filled(*items: Message | Asked) -> Mailbox:
    mailbox = Mailbox("a/x")
    mailbox.items.extend(items)
    return mailbox


def test_the_first_items_are_taken_with_their_size():
    items = [message(number, {"text": "x" * number}) for number in range(3)]
    mailbox = filled(*items)
    assert mailbox.first(2, 1_000_000) == (items[:2], size_of(items[0]) + size_of(items[1]))
    assert list(mailbox.items) == items[2:]


def test_bytes_are_a_bound_that_one_item_may_exceed():
    mailbox = filled(message(1, {"text": "x" * 5_000}), message(2))
    taken, size = mailbox.first(10, 1_000)
    assert [item.position for item in taken if isinstance(item, Message)] == [1]
    assert size > 5_000


def test_it_ends_in_front_of_an_item_that_does_not_fit():
    items = [message(1), message(2), message(3)]
    taken, _ = filled(*items).first(10, 1_000_000, lambda item: item is not items[1])
    assert taken == items[:1]


async def test_questions_that_were_given_up_are_left_out():
    loop = asyncio.get_running_loop()
    given_up, waits = Asked(1, "q1", loop.create_future()), Asked(2, "q2", loop.create_future())
    given_up.answer.cancel()
    taken, _ = filled(given_up, waits).first(10, 1_000_000)
    assert taken == [waits]


def test_texts_and_what_holds_others_count():
    plain = size_of(message(1, {"celsius": 20, "on": True}))
    assert size_of(message(1)) == plain
    assert size_of(message(1, {"text": "x" * 10, "list": [1, 2]})) == plain + 12
