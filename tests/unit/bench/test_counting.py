"""Where the count of events stood: the server's own events come at any time, and count neither way."""

from __future__ import annotations

import pytest

from flux_actors.errors import Corrupt
from flux_bench.server import Server


class Counted(Server):
    """A server of which each look at the count and at its own events is scripted."""

    def __init__(self, totals: list[int], owns: list[list[str]]) -> None:
        super().__init__("http://127.0.0.1:9", settle_s=0.2)
        self._totals, self._owns = iter(totals), iter(owns)
        self._total, self._own = 0, [""]

    def events_total(self) -> int:
        self._total = next(self._totals, self._total)
        return self._total

    def _own_events(self) -> list[str]:
        self._own = next(self._owns, self._own)
        return self._own


def test_an_event_of_the_servers_own_between_two_looks_is_in_both_or_in_neither() -> None:
    server = Counted(totals=[5, 6, 6, 6], owns=[["old"], ["new", "old"]])
    assert server.level() == (["new"], 6)


def test_events_of_the_servers_own_are_not_taken_for_those_that_were_added() -> None:
    server = Counted(totals=[5, 5, 9, 9], owns=[["old"], ["new", "old"]])
    server.settle(server.level(), added=3)
    server = Counted(totals=[5, 5, 8, 8], owns=[["old"], ["new", "old"]])
    with pytest.raises(Corrupt, match="1 acknowledged events are missing"):
        server.settle(server.level(), added=3)
    server = Counted(totals=[5, 5, 10, 10], owns=[["old"], ["new", "old"]])
    with pytest.raises(Corrupt, match="1 events more"):
        server.settle(server.level(), added=3)
