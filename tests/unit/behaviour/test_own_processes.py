from __future__ import annotations

import pytest

from flux_actors.behaviour.own_processes import OwnProcesses
from flux_actors.behaviour.ports import Place
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.domain.acting.catalogue import Dedicated
from tests.unit.behaviour.local_workers import Codes, LocalWorkers

ID = "home/fan"
HERE = Place("", ID, Dedicated(idle_s=10.0))
THERE = Place("", ID, Dedicated(idle_s=10.0), "0f")


class Own:
    """Processes, and a clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.workers = LocalWorkers(Codes(), Watchdog())
        self.processes = OwnProcesses(self.workers, lambda: self.now_s)

    async def sweep(self, wanted: Place | None = HERE, *, is_idle: bool = True) -> list[str]:
        """Return which entities have a process afterwards."""
        await self.processes.sweep(lambda _: wanted, lambda _: is_idle)
        return self.processes.ids


@pytest.fixture
async def own() -> Own:
    own = Own()
    await own.processes.use(HERE)
    return own


async def test_process_stays_while_it_is_used_now_and_then(own: Own) -> None:
    for own.now_s in (9.0, 18.0, 27.0):
        assert await own.sweep() == [ID]
        await own.processes.use(HERE)
    assert own.workers.forgotten == []


async def test_process_that_was_not_used_for_long_ends_unless_something_waits(own: Own) -> None:
    own.now_s = 10.1
    assert await own.sweep(is_idle=False) == [ID]
    assert await own.sweep() == []
    assert own.workers.forgotten == [ID]


async def test_process_that_is_to_be_elsewhere_ends_and_begins_there(own: Own) -> None:
    assert await own.sweep(THERE) == [ID]
    assert (own.workers.forgotten, own.workers.begun) == ([ID], [THERE])
    assert await own.sweep(THERE) == [ID]
    assert own.workers.begun == [THERE]


async def test_process_that_is_used_elsewhere_ends_where_it_was(own: Own) -> None:
    await own.processes.use(THERE)
    assert own.workers.forgotten == [ID]


async def test_process_whose_behaviour_is_gone_ends(own: Own) -> None:
    assert await own.sweep(None) == []
    assert own.workers.forgotten == [ID]


async def test_ending_what_is_not_there_does_nothing(own: Own) -> None:
    await own.processes.end("home/other")
    assert own.workers.forgotten == []
