"""Seats: which subscription decides, and when the way is free."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.feed.holding import Held, Total
from flux_api.conflation import Conflation
from flux_api.frames import Renderer
from flux_api.watcher import Watcher
from flux_api.watching.options import PLAIN
from flux_api.watching.outlet import Piece
from flux_api.watching.subscription import Seat, Subscription, patterns_of
from tests.unit.api.sockets import FakeLink


@pytest.fixture
def seat():
    return Seat(Watcher(FakeLink()))


def test_an_entity_is_named_by_itself_its_beginnings_and_everything():
    assert list(patterns_of("a/b/c")) == ["*", "a/b/c", "a/*", "a/b/*"]
    assert list(patterns_of("*")) == ["*"]
    assert list(patterns_of("a/*")) == ["*", "a/*"]


def test_the_newest_that_names_it_decides(seat):
    for number, pattern in enumerate(["a/1", "*", "b/*"]):
        seat.subscriptions[pattern] = Subscription(seat, pattern, PLAIN, number)
    assert [seat.of(one).pattern for one in ("a/1", "b/1", "c")] == ["*", "b/*", "*"]
    del seat.subscriptions["*"]
    assert seat.of("c") is None


async def test_it_is_free_when_it_takes_what_it_is_sent_and_is_owed_nothing(seat):
    seat.pressed = True
    seat.watcher.lag = Conflation(Renderer()).fall_behind()
    waiting = asyncio.create_task(seat.freed())
    seat.wake()
    await asyncio.sleep(0)
    seat.pressed = False
    seat.wake()
    await asyncio.sleep(0)
    assert not waiting.done()
    seat.watcher.lag = None
    seat.wake()
    await asyncio.wait_for(waiting, 5)


def test_an_outlet_of_one_s_own_takes_the_pieces():
    class Own:
        def __init__(self):
            self.sent = []

        def send(self, pieces, *, batch):
            self.sent.append((list(pieces), batch))

    watcher = Watcher(FakeLink(), outlet=Own())
    seat = Seat(watcher)
    seat.pieces.append(Piece(b"x", 1, 2))
    seat.flush()
    seat.flush()
    assert watcher.outlet.sent == [([Piece(b"x", 1, 2)], False)]
    assert watcher.link.written == []


def test_what_a_pending_one_holds_is_given_back_when_it_ends(seat):
    total, one = Total(), Subscription(seat, "a", PLAIN, 1)
    for end in (one.end, one.go_live, lambda: one.wait(total)):
        one.wait(total)
        assert one.pending
        one.holding.put(Held("a", 0, 1, b"12"))
        assert total.size > 2
        end()
        assert total.size == 0
    one.end()
    assert not one.pending
