from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flux_actors.behaviour.watchdog import Guard, Overran, Watchdog
from tests.conftest import wait_for


def spin(seconds: float = 60.0) -> str:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        pass
    return "done"


def in_thread(work: Callable[[], Any]) -> Any:
    """Return what work returns in a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return found[0]


def test_call_returns_what_its_function_returns(watchdog: Watchdog) -> None:
    assert watchdog.guard().call(1.0, divmod, 7, 2) == (3, 1)


def test_call_raises_what_its_function_raises(watchdog: Watchdog) -> None:
    with pytest.raises(KeyError, match="absent"):
        watchdog.guard().call(1.0, {}.__getitem__, "absent")


def test_function_that_runs_too_long_is_interrupted(watchdog: Watchdog) -> None:
    with pytest.raises(Overran) as caught:
        watchdog.guard().call(0.01, spin)
    assert caught.traceback[-1].name == "spin"


def test_threads_have_guards_of_their_own(watchdog: Watchdog) -> None:
    guard = watchdog.guard()
    assert watchdog.guard() is guard
    assert in_thread(watchdog.guard) is not guard


def test_thread_beside_the_late_one_is_left_alone(watchdog: Watchdog) -> None:
    def late() -> str:
        try:
            watchdog.guard().call(0.01, spin)
        except Overran:
            return "interrupted"
        return "missed"

    found: list[str] = []
    beside = threading.Thread(target=lambda: found.append(watchdog.guard().call(10.0, spin, 0.3)))
    beside.start()
    assert in_thread(late) == "interrupted"
    beside.join()
    assert found == ["done"]


def test_late_function_that_raises_its_own_error_overran_all_the_same(watchdog: Watchdog) -> None:
    def stubborn() -> None:
        try:
            spin()
        except Overran:
            raise ValueError("mine") from None

    with pytest.raises(Overran):
        watchdog.guard().call(0.01, stubborn)


def test_late_function_that_returns_after_all_overran_all_the_same(watchdog: Watchdog) -> None:
    def stubborn() -> str:
        try:
            return spin()
        except Overran:
            return "never mind"

    with pytest.raises(Overran):
        watchdog.guard().call(0.01, stubborn)


def test_watchdog_that_sleeps_wakes_for_a_call(watchdog: Watchdog) -> None:
    guard = watchdog.guard()
    wait_for(lambda: watchdog.sleeps, 10, "the watchdog to sleep")
    with pytest.raises(Overran):
        guard.call(0.01, spin)


def test_closed_watchdog_has_no_thread_left() -> None:
    watchdog = Watchdog(look_s=0.001)
    watchdog.guard()
    wait_for(lambda: watchdog.sleeps, 10, "the watchdog to sleep")
    watchdog.close()
    assert "flux-watchdog" not in [thread.name for thread in threading.enumerate()]


def test_pause_of_the_machine_makes_nothing_late(watchdog: Watchdog) -> None:
    guard = Guard(watchdog, thread=0)  # no thread has this number
    guard.limit_s, guard.current = 1.0, 5
    guard.look(now_s=10.0, look_s=0.02)
    guard.look(now_s=500.0, look_s=0.02)
    assert not guard.fired
    for look in range(1, 60):
        guard.look(now_s=500.0 + look * 0.02, look_s=0.02)
    assert guard.fired


def test_call_behind_the_one_that_was_seen_is_not_hit(watchdog: Watchdog) -> None:
    guard = Guard(watchdog, thread=0)
    guard.limit_s = 0.01
    for number in range(1, 100):
        guard.current = number
        guard.look(now_s=float(number), look_s=0.02)
    assert not guard.fired


def test_shot_hits_the_call_or_nothing_at_all() -> None:
    """Calls that end just when the watchdog shoots: whatever hits late would break the loop around them.

    Here the watchdog shoots at every look. A shot that hit outside of a call would end this with `Overran`.
    """
    watchdog = Watchdog(look_s=0.0)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        outcomes = in_thread(lambda: storm(watchdog.guard(), until_s=time.monotonic() + 1.0))
    finally:
        sys.setswitchinterval(interval_s)
        watchdog.close()
    assert outcomes["returned"] + outcomes["raised"] > 100
    assert outcomes["interrupted"] > 100


def storm(guard: Guard, until_s: float) -> dict[str, int]:
    outcomes = {"returned": 0, "interrupted": 0, "raised": 0}
    number = 0
    while time.monotonic() < until_s + (20.0 if min(outcomes.values()) <= 100 else 0.0):
        number += 1
        try:
            guard.call(0.0, work, number)
            outcomes["returned"] += 1
        except Overran:
            outcomes["interrupted"] += 1
        except ValueError:
            outcomes["raised"] += 1
        assert guard.current == 0
        assert not guard.fired
        for _ in range(number % 7):
            assert sorted([3, 1, 2]) == [1, 2, 3]
    return outcomes


def work(number: int) -> int:
    for _ in range(number % 50):
        number += 1
    if number % 3 == 0:
        raise ValueError("own")
    return number
