"""The keeper: every namespace with connectors has a living actor, and no other has one."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from flux_actors import limits
from flux_actors.connectors.keeper import Keeper
from flux_actors.connectors.records import Configured, ConnectorStore
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryKeyValue
from tests.unit.connectors.fake_parts import NOW_S, FakeClock, settle


class FakeHost:
    """Actors that live, are silent or die as a test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.living: dict[str, bool | None] = {}
        self.done: list[tuple[str, str]] = []
        self.starts_s: list[float] = []
        self.refuses = 0
        self.takes_s = 0.0

    async def start(self, namespace: str) -> None:
        if self.takes_s:
            await self.clock.sleep(self.takes_s)
        self.starts_s.append(self.clock.now - NOW_S)
        if self.refuses:
            self.refuses -= 1
            raise Unavailable("no room")
        self.living[namespace] = True
        self.done.append(("start", namespace))

    async def lives(self, namespace: str) -> bool | None:
        return self.living[namespace]

    async def refresh(self, namespace: str) -> None:
        self.done.append(("refresh", namespace))

    async def end(self, namespace: str) -> None:
        self.done.append(("end", namespace))

    async def kill(self, namespace: str) -> None:
        self.done.append(("kill", namespace))


class Watch:
    """A keeper that watches by a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = ConnectorStore(MemoryKeyValue())
        self.host = FakeHost(self.clock)
        self.keeper = Keeper(self.store, self.host, self.clock, lambda: 0.5)

    async def configure(self, namespace: str, *names: str) -> None:
        def change(connectors: dict[str, Configured]) -> None:
            connectors.clear()
            connectors.update({name: Configured(name) for name in names})

        await self.store.change(namespace, change)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def changed(self, namespace: str) -> None:
        await self.keeper.changed(namespace)
        await settle()


@pytest.fixture
async def watch():
    watch = Watch()
    task = asyncio.create_task(watch.keeper.watch())
    await settle()
    yield watch
    task.cancel()


async def test_nobody_is_started_where_nothing_is_configured(watch):
    await watch.configure("empty")
    await watch.advance(60)
    assert watch.host.done == []


async def test_whoever_was_configured_already_is_started_at_once():
    watch = Watch()
    await watch.configure("a", "github")
    await watch.configure("b", "github")
    await watch.keeper.look()
    await settle()
    assert sorted(watch.host.done) == [("start", "a"), ("start", "b")]


async def test_a_namespace_that_somebody_tells_of_is_started_at_once_and_later_only_told(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.changed("a")
    assert watch.host.done == [("start", "a"), ("refresh", "a")]
    assert watch.keeper.namespaces == ["a"]


async def test_one_that_nobody_told_of_is_found(watch):
    await watch.configure("a", "github")
    await watch.advance(limits.keeper_list_s + 1)
    assert watch.host.done == [("start", "a")]


async def test_a_namespace_without_connectors_loses_its_actor(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.configure("a")
    await watch.changed("a")
    assert watch.host.done == [("start", "a"), ("end", "a")]
    await watch.advance(60)
    assert watch.host.done == [("start", "a"), ("end", "a")]


async def test_one_that_was_told_too_late_is_found_to_be_idle(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.configure("a")
    await watch.advance(limits.keeper_list_s + 1)
    assert watch.host.done == [("start", "a"), ("end", "a")]


async def test_one_that_dies_again_and_again_is_started_at_a_growing_distance(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    for _ in range(600):
        watch.host.living["a"] = False
        await watch.advance(1)
    waits = [after - before for before, after in pairwise(watch.host.starts_s)]
    assert waits == sorted(waits)
    assert waits[0] <= 2
    assert limits.keeper_restart_s_range[1] <= waits[-1] <= limits.keeper_restart_s_range[1] + 2


async def test_one_that_lived_long_is_started_again_soon(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    for _ in range(6):
        watch.host.living["a"] = False
        await watch.advance(20)
    await watch.advance(limits.keeper_healthy_s + 60)
    starts = len(watch.host.starts_s)
    watch.host.living["a"] = False
    await watch.advance(3)
    assert len(watch.host.starts_s) == starts + 1


async def test_one_that_is_silent_for_a_while_is_left_alone_and_for_long_is_replaced(watch, lines):
    await watch.configure("a", "github")
    await watch.changed("a")
    watch.host.living["a"] = None
    await watch.advance(limits.keeper_silences_max - 1)
    watch.host.living["a"] = True
    await watch.advance(5)
    assert watch.host.done == [("start", "a")]
    watch.host.living["a"] = None
    await watch.advance(limits.keeper_silences_max + 3)
    assert watch.host.done[:3] == [("start", "a"), ("kill", "a"), ("start", "a")]
    assert [line["silent"] for line in lines if line["event"] == "connectors.gone"][:1] == [True]


async def test_one_that_takes_long_to_start_is_given_the_time(watch):
    watch.host.takes_s = 25.0
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.configure("b", "github")
    await watch.advance(24)
    assert watch.host.done == []
    await watch.advance(2)
    assert watch.host.done == [("start", "a")]


async def test_one_that_nobody_wants_any_more_when_it_has_started_is_ended(watch):
    watch.host.takes_s = 5.0
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.configure("a")
    await watch.changed("a")
    await watch.advance(10)
    assert watch.host.done == [("end", "a"), ("start", "a"), ("end", "a")]


async def test_a_slow_start_holds_up_nobody(watch):
    await watch.configure("a", "github")
    await watch.changed("a")
    watch.host.takes_s = 1000.0
    await watch.configure("b", "github")
    await watch.changed("b")
    watch.host.takes_s = 0.0
    watch.host.living["a"] = False
    await watch.advance(5)
    assert watch.host.done == [("start", "a"), ("kill", "a"), ("start", "a")]


async def test_one_that_cannot_be_started_is_tried_again_and_holds_up_nobody(watch):
    watch.host.refuses = 3
    await watch.configure("a", "github")
    await watch.changed("a")
    await watch.configure("b", "github")
    await watch.changed("b")
    await watch.advance(30)
    assert sorted(watch.host.done) == [("start", "a"), ("start", "b")]


async def test_draining_ends_all_and_starts_none(watch):
    await watch.configure("a", "github")
    await watch.configure("b", "github")
    await watch.changed("a")
    await watch.keeper.drain()
    await watch.changed("b")
    await watch.advance(60)
    assert watch.host.done == [("start", "a"), ("end", "a")]


async def test_a_store_that_is_away_is_waited_for(watch, monkeypatch):
    async def away():
        raise Unavailable("away")

    await watch.configure("a", "github")
    with monkeypatch.context() as patch:
        patch.setattr(watch.store, "namespaces", away)
        await watch.advance(limits.keeper_list_s * 2)
        assert watch.host.done == []
    await watch.advance(2)
    assert watch.host.done == [("start", "a")]


async def test_it_tells_how_many_actors_are_wanted_run_and_died(watch):
    def told():
        return [sample.value for sample in watch.keeper.samples()]

    assert told() == [0, 0, 0]
    await watch.configure("a", "github")
    await watch.changed("a")
    assert told() == [1, 1, 0]
    watch.host.living["a"] = False
    watch.host.refuses = 1
    await watch.advance(limits.keeper_look_s)
    assert told() == [1, 0, 1]
    await watch.advance(3)
    assert told()[2] >= 2
