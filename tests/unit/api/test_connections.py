"""Places at a door: all connections, sockets among them, and each address for itself."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.settings import Settings
from flux_api.connections import Bounds, Connections, make_room


@pytest.fixture
def crowd():
    return Connections(Bounds(connections=3, sockets=1, of_address=2))


def refusal_of(outcome):
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after_s >= 1
    return outcome.message


def test_one_more_than_the_bound_finds_no_place(crowd):
    assert [crowd.enter(address) for address in ("a", "b", "c")] == [None] * 3
    assert "all the connections it can take" in refusal_of(crowd.enter("d"))
    assert crowd.total == 3


def test_a_place_that_was_given_back_is_taken_again(crowd):
    for address in ("a", "b", "c"):
        crowd.enter(address)
    crowd.leave("b")
    assert crowd.enter("d") is None
    refusal_of(crowd.enter("b"))


def test_an_address_keeps_nobody_else_out(crowd):
    assert [crowd.enter("a"), crowd.enter("a")] == [None, None]
    assert "your address has 2 connections" in refusal_of(crowd.enter("a"))
    assert crowd.enter("b") is None
    crowd.leave("a")
    crowd.leave("b")
    assert crowd.enter("a") is None


def test_nothing_is_remembered_of_an_address_that_left(crowd):
    crowd.enter("a")
    crowd.leave("a")
    with pytest.raises(KeyError):
        crowd.leave("a")


def test_sockets_leave_room_for_others(crowd):
    crowd.enter("a")
    crowd.enter("b")
    assert crowd.open_socket() is None
    assert "WebSocket" in refusal_of(crowd.open_socket())
    crowd.close_socket()
    assert crowd.open_socket() is None


def test_a_process_with_few_files_takes_fewer(crowd):
    crowd.fit(limits.files_spare + 1)
    assert crowd.enter("a") is None
    refusal_of(crowd.enter("b"))
    crowd.fit(1_000_000)
    refusal_of(crowd.enter("b"))


def test_it_is_as_large_as_the_settings_say():
    crowd = Connections.of(Settings(connections_max=2, sockets_max=1, address_connections_max=1))
    assert crowd.enter("a") is None
    assert "address" in refusal_of(crowd.enter("a"))
    assert crowd.enter("b") is None
    assert "door" in refusal_of(crowd.enter("c"))


class Guest:
    """A connection that holds so many bytes."""

    def __init__(self, coming_bytes):
        self.coming_bytes = coming_bytes
        self.gave_up = False

    def give_up(self):
        self.coming_bytes, self.gave_up = 0, True


@pytest.mark.parametrize(
    ("held", "bound", "let_go"),
    [
        ([1, 2, 3], 6, []),
        ([1, 2, 3], 5, [3]),
        ([5, 1, 5, 1], 7, [5]),
        ([5, 1, 5, 1], 6, [5, 5]),
        ([4, 4], 0, [4, 4]),
        ([], 0, []),
    ],
)
def test_those_who_hold_most_let_go_until_it_fits(held, bound, let_go):
    guests = [Guest(size) for size in held]
    make_room(guests, bound)
    assert [size for size, guest in zip(held, guests, strict=True) if guest.gave_up] == let_go


def test_those_without_a_place_are_counted_and_so_are_refusals_by_status():
    crowd = Connections(Bounds(connections=1, sockets=0))
    crowd.enter("a")
    crowd.enter("b")
    crowd.open_socket()
    for status in (408, 408, 431):
        crowd.count_refusal(status)
    assert crowd.refused_total == 2
    assert crowd.refusals == {408: 2, 431: 1}
