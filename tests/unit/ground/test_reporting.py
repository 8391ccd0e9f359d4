from __future__ import annotations

import pytest

from flux_actors import limits, reporting
from flux_actors.reporting import Reporter


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_progress_is_said_now_and_then_and_all_else_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(reporting, "time", clock)
    said: list[str] = []
    report = Reporter(said.append)
    report.progress("at the start")
    report.say("at once")
    clock.now += limits.report_every_s
    report.progress("later")
    report.progress("right behind")
    clock.now += limits.report_every_s
    report.progress("last")
    assert said == ["at once", "later", "last"]
