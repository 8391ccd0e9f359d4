"""Playing a scenario: what it waits for, what it says of clients that do nothing, and what is healed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from flux_actors.errors import Unavailable
from flux_cluster.chaos import playing, waiting
from flux_cluster.chaos.playing import Outcome, Play
from flux_cluster.chaos.scenario import Check, Injection, Scenario, Workload

CHECK = Check(write_outage_s=1, read_outage_s=1)


class Load:
    """A load whose clients do one thing more each time that somebody looks, and so many at most."""

    most: Mapping[str, int] = {}
    made_of: tuple[Any, ...] = ()
    has_begun = False

    def __init__(self, *made_of: Any) -> None:
        Load.made_of, Load.has_begun = made_of, False
        self.acked = 60
        self.writers: list[Any] = []
        self.onlookers: list[Any] = []
        self.ended: list[str] = []
        self._done = dict.fromkeys(self.most, 0)

    def start(self) -> None:
        Load.has_begun = True

    def activity(self, *, of_watchers: bool) -> dict[str, int]:
        return {name: done for name, done in self._done.items() if of_watchers or "watcher" not in name}

    def idle(self, since: Mapping[str, int]) -> list[str]:
        self._done = {name: min(done + 1, self.most[name]) for name, done in self._done.items()}
        return [name for name, had in since.items() if self._done[name] <= had]

    def outage_s(self, *, writes: bool) -> float:
        return 0.1 if writes else 0.2

    def finish(self) -> None:
        self.ended.append("writers")

    def leave(self) -> None:
        self.ended.append("watchers")

    def abandon(self) -> None:
        self.ended.append("all")


@pytest.fixture
def world() -> Any:
    """A world that is at rest at once."""

    async def done(*_: Any) -> tuple[int, str]:
        return 0, ""

    return SimpleNamespace(
        url="",
        ray=SimpleNamespace(nodes={0: None}),
        rest=done,
        run=done,
        fresh_prefix=lambda play: f"of {play}-",
    )


@pytest.fixture
def play(world, monkeypatch):
    """Play a scenario of a fault, with clients that do so many things at most."""
    monkeypatch.setattr(playing, "_ACT_S", 0.02)
    monkeypatch.setattr(playing, "_BEGIN_S", 0.02)
    monkeypatch.setattr(waiting, "_POLL_S", 0.001)
    monkeypatch.setattr(playing, "faults_of", lambda load, doors: iter(()))

    async def play(most: Mapping[str, int], fault: Any = None) -> Outcome:
        monkeypatch.setattr(playing, "Load", type("Told", (Load,), {"most": most}))
        monkeypatch.setattr(playing, "fault_of", lambda _: fault or Fault())
        scenario = Scenario("mine", "", Workload(seconds=0), (Injection("it"),), CHECK, "mine")
        return await Play(world, scenario, 7, lambda _: None).run()

    return play


class Fault:
    """One that notes what is done with it."""

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.noted: list[str] = []
        self._error = error
        self._hangs = hangs
        self.hanging = asyncio.Event()

    async def inject(self, *_: Any) -> str:
        self.noted.append("injected")
        if self._error is not None:
            raise self._error
        if self._hangs:
            self.hanging.set()
            await asyncio.Event().wait()
        return "it"

    async def heal(self, _: Any) -> None:
        self.noted.append("healed")


class Prepared(Fault):
    """One that is to be prepared, and notes whether the load had begun then."""

    async def prepare(self, _: Any) -> None:
        self.noted.append("too late" if Load.has_begun else "prepared")
        if self._error is not None:
            raise self._error


GOES_ON = {"publisher 0": 1_000, "watcher 0": 1}  # what a watcher is told may change no more


async def test_a_load_whose_clients_all_go_on_is_right(play):
    assert (await play(GOES_ON)).faults == ()


async def test_a_client_that_does_nothing_from_the_beginning_is_told(play):
    outcome = await play(GOES_ON | {"counter 1": 0, "watcher 0": 0})
    assert outcome.faults == ("within 0 s nothing was answered or told to the watcher 0, the counter 1",)


async def test_a_client_that_does_nothing_any_more_after_a_fault_is_told(play):
    outcome = await play(GOES_ON | {"counter 1": 1})
    assert outcome.faults == ("the counter 1 was answered nothing any more after all was healed",)


async def test_a_fault_is_prepared_before_the_load_begins(play):
    fault = Prepared()
    assert (await play(GOES_ON, fault)).faults == ()
    assert fault.noted == ["prepared", "injected", "healed"]


async def test_a_fault_that_cannot_be_prepared_fails_and_is_not_injected(play):
    fault = Prepared(Unavailable("the router stays"))
    outcome = await play(GOES_ON, fault)
    assert (outcome.faults, outcome.injected, fault.noted) == (("the router stays",), (), ["prepared"])


async def test_a_fault_that_fails_half_way_is_healed(play):
    fault = Fault(Unavailable("half of it"))
    outcome = await play(GOES_ON, fault)
    assert (outcome.faults, fault.noted) == (("half of it",), ["injected", "healed"])


async def test_whoever_ends_a_play_waits_for_no_healing(play):
    fault = Fault(hangs=True)
    playing_it = asyncio.create_task(play(GOES_ON, fault))
    await fault.hanging.wait()
    playing_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing_it
    assert fault.noted == ["injected"]


async def test_the_namespaces_of_a_play_are_those_that_the_world_gives_its_scenario_and_seed(play):
    await play(GOES_ON)
    assert Load.made_of == ("", Workload(seconds=0), 7, "of 7-mine-", 4)
