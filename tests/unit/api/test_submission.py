"""A submission tells of all its events at once, whatever became of each."""

from __future__ import annotations

from flux_actors.domain.event import Event
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_api.submission import Submission


def events(count: int) -> list[Event]:
    return [Event("n/e", {}, str(number), False, "s", "t", 1) for number in range(count)]


def test_it_is_told_once_all_its_pieces_are_settled_in_any_order() -> None:
    told: list[Submission] = []
    submission = Submission(list(events(5)), told.append)
    first, second = submission.expect(0, [0, 2]), submission.expect(1, [1, 3, 4])
    submission.begun()
    second(pack(7, 3))
    assert told == []
    first(pack(2, 0))
    assert told == [submission]
    assert submission.positions() == {0: pack(2, 1), 1: pack(7, 5)}
    assert sorted(submission.places()) == [
        (0, 0, pack(2, 0)),
        (1, 1, pack(7, 3)),
        (2, 0, pack(2, 1)),
        (3, 1, pack(7, 4)),
        (4, 1, pack(7, 5)),
    ]
    assert submission.failed == 0


def test_a_piece_that_settles_at_once_does_not_tell_too_early() -> None:
    told: list[Submission] = []
    submission = Submission(list(events(2)), told.append)
    submission.expect(0, [0])(pack(1, 0))
    assert told == []
    submission.expect(1, [1])(Unavailable("away"))
    submission.begun()
    assert told == [submission]
    assert isinstance(submission.events[1], Unavailable)
    assert (submission.failed, submission.positions()) == (1, {0: pack(1, 0)})


def test_of_two_pieces_in_one_partition_the_later_is_its_position() -> None:
    submission = Submission(list(events(3)), lambda _: None)
    later, earlier = submission.expect(0, [1, 2]), submission.expect(0, [0])
    later(pack(9, 0))
    earlier(pack(8, 5))
    assert submission.positions() == {0: pack(9, 1)}


def test_where_nothing_can_be_committed_it_is_told_at_once() -> None:
    told: list[Submission] = []
    refusal = Refused("no")
    Submission([refusal], told.append).begun()
    assert [submission.failed for submission in told] == [1]
    assert told[0].positions() == {}
