"""Copying a log that goes on, and the switch: on the twins, with death at every step."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import pytest

from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import DirectReducers
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import decode_block, encode_block, encode_event
from flux_actors.log.generations import origin_of
from flux_actors.log.memory import MemoryGenerations, MemoryKeyValue, MemoryLog, MemoryRebuilder
from flux_actors.repartition.comparing import compare_entities
from flux_actors.repartition.copying import Copier, Hand, Next, Present
from flux_actors.repartition.recutting import Disagreeing
from flux_actors.repartition.switching import Switch
from flux_actors.reporting import Reporter
from flux_actors.router.succession import Claim, Succession, claim, end_switch, registered
from flux_actors.router.topology import EVERYBODY, LOG_KEY, SWITCHING_KEY, LogRegistry, encode
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.unit.past.folding import NoCode

BEFORE = LogRegistry("log", 2)
AFTER = LogRegistry("next", 5, ["a"], generation=2)
PASTS = {"a": {0: 3, 1: 2}, "gone": {1: 1}}


class Killed(BaseException):
    """The process is dead."""


class Mortal:
    """Passes calls on until so many were made; the one in which its process dies may have been done."""

    def __init__(self, inner: Any, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            self._life.step(before=True)
            found = await getattr(self._inner, name)(*arguments, **more)
            self._life.step(before=False)
            return found

        return call


class Life:
    """How many calls a process has left."""

    def __init__(self, calls: float) -> None:
        self.calls = calls

    def step(self, *, before: bool) -> None:
        self.calls -= 0.5
        if self.calls < 0:
            raise Killed(before)


class World:
    """A log in memory that goes on, and its next generation."""

    def __init__(self) -> None:
        self.log = MemoryLog(2, "log")
        self.logs = {1: self.log, 2: MemoryLog(5, "", generation=2)}
        self.generations = MemoryGenerations(self.logs)
        self.store = MemoryKeyValue()
        self.snapshots = MemorySnapshotStore()
        self.numbers = itertools.count(1)
        self.clock_us = 1_000_000
        self.acked: dict[str, int] = {}

    async def begin(self) -> Copier:
        await self.store.put(LOG_KEY, encode(BEFORE))
        await self.write(20)
        return await self.copier()

    async def copier(self) -> Copier:
        copier = Copier(
            Present(BEFORE, self.log),
            Next(AFTER, MemoryRebuilder(self.logs[2]), self.snapshots),
            ReducerCode(DirectReducers(), NoCode()),
            500,
            Hand(7, self.now_us),
            Reporter(lambda _: None),
            PASTS,
        )
        await copier.begin()
        return copier

    def now_us(self) -> int:
        return self.clock_us

    async def write(self, count: int) -> None:
        for _ in range(count):
            number = next(self.numbers)
            self.clock_us += 10_000
            entity = f"{'ad'[number % 2]}/{number % 7}"
            event = Event(entity, {"v": number}, f"e{number}", True, "s", "t", 1)
            data = encode_block(1, number, self.clock_us, [encode_event(event)])
            registry = await registered(self.store)
            assert registry is not None
            log, partition = self.logs[registry.generation], registry.partitioning().of_entity(entity)
            await log.append(partition, data, f"b{number}", 1.0)
            self.acked[entity] = number

    async def of_namespace(self, name: str, generation: int, until: dict[int, int]) -> int:
        """Return how many events of a namespace stand up to some places."""
        found = 0
        for partition, last in until.items():
            for sequence in range(origin_of(generation), last + 1):
                block = decode_block(await self.logs[generation].block(partition, sequence))
                found += sum(str(event.entity_id).startswith(f"{name}/") for event in block.events)
        return found

    async def state(self) -> dict[str, Any]:
        """Return what the log that is the log says, as shards recover it."""
        registry = await registered(self.store)
        assert registry is not None
        found: dict[str, Any] = {}
        for partition in range(registry.partitions):
            log, state = self.logs[registry.generation], PartitionState(partition)
            bounds = await log.bounds(partition)
            state.sequence = bounds.origin - 1
            if registry.generation == 2 and (kept := self.snapshots.sequences(partition)):
                _, state = read_snapshot(self.snapshots.read(partition, kept[0]))
            while state.sequence < bounds.last:
                blocks = await log.reader(partition, state.sequence).pull(0.01)
                state.apply(((one.sequence, decoded(one)) for one in blocks), feed=False)
            found |= {name: actor.properties["v"] for name, actor in state.entities.items()}
        return found


def switch(world: World, copier: Copier, life: Life | None = None) -> Switch:
    async def pasts() -> Any:
        return PASTS

    generations, store = world.generations, world.store
    if life is not None:
        generations, store = Mortal(generations, life), Mortal(store, life)
    return Switch(copier, generations, store, Claim(store, encode(BEFORE), 1), pasts)


async def copied(world: World) -> Copier:
    copier = await world.begin()
    await copier.catch_up()
    await world.write(15)
    compare_entities(copier.recutter)
    await copier.keep_snapshots()
    await world.write(15)
    await copier.catch_up()
    return copier


async def test_a_log_that_goes_on_becomes_its_copy():
    world = World()
    copier = await copied(world)
    await world.write(5)
    switched = await switch(world, copier).carry_through()
    assert switched.after.generation == 2
    assert copier.events == 55
    assert await world.store.get(SWITCHING_KEY) is None
    assert await world.state() == world.acked
    await world.write(10)
    assert await world.state() == world.acked
    with pytest.raises(Unavailable):  # whoever does not know it yet
        await world.log.append(0, b"late", "late", 1.0)
    origin = origin_of(2)
    bounds = [await world.logs[2].bounds(partition) for partition in range(5)]
    assert {one.log_id for one in bounds} == {"next"}
    assert all(one.whole and one.first == origin for one in bounds)


async def test_where_the_past_of_earlier_owners_ends_is_found_again():
    world = World()
    copier = await copied(world)
    ends = (await switch(world, copier).carry_through()).after.pasts
    partitions = range(AFTER.partitions)
    assert ends[EVERYBODY] == {p: (await world.logs[2].bounds(p)).last for p in partitions}
    theirs = [await world.of_namespace("a", 1, {home: PASTS["a"][home]}) for home in PASTS["a"]]
    assert await world.of_namespace("a", 2, ends["a"]) == max(theirs) > 0


async def test_death_at_any_step_leaves_the_log_or_its_copy_whole():
    outcomes = set()
    for calls in range(60):
        world = World()
        copier = await copied(world)
        with suppress(Killed):
            await switch(world, copier, Life(calls / 2)).carry_through()
        standing = await end_switch(world.store, world.generations)  # as a router does that finds the note
        outcomes.add(standing.generation)
        assert await world.store.get(SWITCHING_KEY) is None
        assert await world.state() == world.acked
        await world.write(5)
        assert await world.state() == world.acked
    assert outcomes == {1, 2}


async def test_a_switch_that_somebody_has_ended_is_not_made():
    world = World()
    copier = await copied(world)
    await end_switch(world.store, world.generations)
    with pytest.raises(Refused, match="run it again"):
        await switch(world, copier).carry_through()
    await world.write(1)
    assert await world.state() == world.acked


async def test_of_two_runs_the_later_one_alone_can_become_the_log():
    world = World()
    copier = await copied(world)
    later = await claim(world.store)
    with pytest.raises(Refused, match="run it again"):
        await switch(world, copier).carry_through()
    await later.renew()  # the earlier one has not ended this one
    assert not world.log.closed
    assert await world.store.get(SWITCHING_KEY) is None
    await world.write(1)
    assert await world.state() == world.acked


def made_anew(world: World) -> None:
    world.logs[2].__init__(5, "another", generation=2)  # type: ignore[misc]


def cut_short(world: World) -> None:
    last = next(p for p in range(5) if world.logs[2]._partitions[p].blocks)  # noqa: SLF001
    world.logs[2].cut_off(last, world.logs[2]._partitions[last].last - 1)  # noqa: SLF001


def with_foreign_snapshot(world: World) -> None:
    sink = world.snapshots.begin(1, origin_of(2) + 1_000)
    for data in iter(Cut(PartitionState(1, origin_of(2) + 1_000), "another").next_slice, None):
        sink.write(data)
    sink.commit()


@pytest.mark.parametrize("change", [made_anew, cut_short, with_foreign_snapshot])
async def test_a_copy_that_somebody_has_changed_does_not_become_the_log(change: Any):
    world = World()
    copier = await copied(world)
    change(world)
    with pytest.raises(Refused, match="somebody else"):
        await switch(world, copier).carry_through()
    await world.write(1)
    assert await registered(world.store) == BEFORE
    assert await world.state() == world.acked


@pytest.mark.parametrize("change", [made_anew, cut_short])
async def test_the_copy_is_looked_at_as_it_is_stored(change: Any):
    world = World()
    copier = await copied(world)
    await copier.check_stored()
    change(world)
    with pytest.raises(Refused, match="somebody else has changed the copy"):
        await copier.check_stored()


class Tardy(MemoryGenerations):
    """Closing one partition takes as long as it takes, and fails for another one."""

    def __init__(self, world: World, *, fails: bool) -> None:
        super().__init__(world.logs)
        self.goes_on = asyncio.Event()
        self._fails = fails
        self._sending = False

    async def close(self, generation: int, partition: int, last_block: bytes) -> int:
        if partition == 0 and self._fails:
            asyncio.get_running_loop().call_later(0.01, self.goes_on.set)
            raise Unavailable("the log of partition 0 could not be closed")
        sent = asyncio.create_task(self._sent(generation, partition, last_block))
        return await asyncio.shield(sent)  # the server does what it was asked for, whoever waits

    async def _sent(self, generation: int, partition: int, last_block: bytes) -> int:
        if not self._sending:
            self._sending = True
            asyncio.get_running_loop().call_later(0.05, self.goes_on.set)
        await self.goes_on.wait()
        return await super().close(generation, partition, last_block)


@pytest.mark.parametrize("fails", [True, False])
async def test_what_is_closed_late_is_open_when_the_switch_has_failed(monkeypatch: Any, *, fails: bool):
    world = World()
    copier = await copied(world)
    world.generations = generations = Tardy(world, fails=fails)
    if not fails:
        monkeypatch.setattr("flux_actors.limits.switch_s_max", 0.01)
    with pytest.raises(Unavailable):
        await switch(world, copier).carry_through()
    assert generations.goes_on.is_set()
    await asyncio.sleep(0)
    assert not world.log.closed
    await world.write(4)
    assert await world.state() == world.acked


async def test_a_copy_that_says_something_else_does_not_become_the_log():
    world = World()
    copier = await copied(world)
    copier.recutter.copy[0].events_total += 1
    with pytest.raises(Disagreeing):
        await switch(world, copier).carry_through()
    await world.write(1)
    assert (await registered(world.store)) == BEFORE


async def test_a_switch_that_takes_too_long_is_not_made(monkeypatch):
    monkeypatch.setattr("flux_actors.limits.switch_s_max", 0.0)
    world = World()
    copier = await copied(world)
    with pytest.raises(Unavailable, match="goes on as it was"):
        await switch(world, copier).carry_through()
    await world.write(1)


async def test_a_log_that_was_trimmed_is_refused():
    world = World()
    await world.store.put(LOG_KEY, encode(BEFORE))
    await world.write(20)
    world.log.trim(1, 3)
    with pytest.raises(Refused, match="was trimmed"):
        await world.copier()


async def test_succession_sees_who_has_taken_over():
    world = World()
    copier = await copied(world)
    succession = Succession(world.store, BEFORE)
    assert not await succession.ended()
    world.store.away = True
    assert not await succession.ended()
    world.store.away = False
    await switch(world, copier).carry_through()
    assert await succession.ended()
    await succession.wait()
