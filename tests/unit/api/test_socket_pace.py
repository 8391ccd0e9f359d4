"""How fast a socket may ask, by a clock of the tests' own."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_api.socket_pace import Pace, Verdict


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(limits, "socket_requests_burst", 50)
    monkeypatch.setattr(limits, "socket_requests_per_s", 10)
    monkeypatch.setattr(limits, "socket_refusals_burst", 5)
    monkeypatch.setattr(limits, "socket_refusals_per_s", 2)
    return Clock()


def verdicts(pace, count, size=10, **kind):
    return [pace.judge(size, **kind) for _ in range(count)]


def test_so_many_are_taken_at_once_and_then_so_many_a_second(clock):
    pace = Pace(clock)
    assert verdicts(pace, 50) == [Verdict.TAKE] * 50
    assert pace.judge(10) is Verdict.REFUSE
    clock.now_s += 1.0
    assert verdicts(pace, 10) == [Verdict.TAKE] * 10
    assert pace.judge(10) is Verdict.REFUSE
    clock.now_s += 1_000.0
    assert verdicts(pace, 51) == [Verdict.TAKE] * 50 + [Verdict.REFUSE]


def test_who_goes_on_over_the_rate_is_sent_away(clock):
    pace = Pace(clock)
    assert verdicts(pace, 57)[50:] == [Verdict.REFUSE] * 5 + [Verdict.LEAVE] * 2


def test_who_is_over_the_rate_by_a_little_is_told_so_for_ever(clock):
    pace = Pace(clock)
    seen = []
    for _ in range(200):
        clock.now_s += 1.0
        seen += verdicts(pace, 11)
    assert seen.count(Verdict.REFUSE) > 100
    assert Verdict.LEAVE not in seen


def test_large_messages_and_those_that_authenticate_weigh_more(clock, monkeypatch):
    assert verdicts(Pace(clock), 12, size=4 * limits.socket_request_bytes_max).count(Verdict.TAKE) == 10
    monkeypatch.setattr(limits, "socket_auth_weight", 24)
    assert verdicts(Pace(clock), 3, is_auth=True) == [Verdict.TAKE] * 2 + [Verdict.REFUSE]


def test_one_that_weighs_more_than_there_is_is_taken_and_owed(clock):
    pace = Pace(clock)
    assert pace.judge(100 * limits.socket_request_bytes_max) is Verdict.TAKE
    clock.now_s += 5.0
    assert pace.judge(10) is Verdict.REFUSE
    clock.now_s += 0.3
    assert pace.judge(10) is Verdict.TAKE
