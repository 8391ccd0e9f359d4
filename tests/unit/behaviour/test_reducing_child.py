"""The alarm of the reducers' process; what that process does as a whole is in test_reducing.py."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from flux_actors.behaviour.reducing_child import Alarm
from flux_actors.behaviour.watchdog import Overran


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    before = signal.getsignal(signal.SIGPROF)
    alarm = Alarm(0.005)
    alarm.start()
    alarm.tick(on=True)
    yield alarm
    alarm.tick(on=False)
    signal.signal(signal.SIGPROF, before)


def spin(seconds: float) -> str:
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass
    return "done"


def test_call_returns_and_raises_what_its_function_does(alarm: Alarm) -> None:
    assert alarm.call(1.0, divmod, 7, 2) == (3, 1)
    with pytest.raises(KeyError):
        alarm.call(1.0, {}.__getitem__, "absent")
    assert alarm.running == 0


def test_call_that_takes_too_much_processor_time_is_interrupted(alarm: Alarm) -> None:
    with pytest.raises(Overran):
        alarm.call(0.02, spin, 60.0)
    assert alarm.running == 0


def test_many_short_calls_are_not_interrupted(alarm: Alarm) -> None:
    assert {alarm.call(0.02, spin, 0.002) for _ in range(50)} == {"done"}


def test_nothing_is_interrupted_between_calls(alarm: Alarm) -> None:
    with pytest.raises(Overran):
        alarm.call(0.01, spin, 60.0)
    assert spin(0.05) == "done"


def test_time_without_work_does_not_count(alarm: Alarm) -> None:
    alarm.call(0.01, time.sleep, 0.05)
