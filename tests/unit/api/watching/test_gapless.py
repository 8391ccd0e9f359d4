"""Whatever happens, in whatever order: what clients make of what they are told is the state."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.pattern import names
from flux_actors.domain.where import where_of
from flux_actors.tenancy.principal import ANYONE
from tests.unit.api.standing import Standing, event, until
from tests.unit.api.watching.roaming import Roamer, Scribe

IDS = ["a/1", "a/2", "b/1", "wide/1", "wide/2"]
WHERE = "v > 4"
ROAMERS = [("*", None), ("a/*", None), ("wide/*", None), ("a/1", None), ("a/*", WHERE), ("*", WHERE)]

ids, roamers = st.sampled_from(IDS), st.integers(0, len(ROAMERS) - 1)
writes = st.tuples(st.just("set"), ids, st.sampled_from("vw"), st.integers(0, 9))
deletions = st.tuples(st.just("delete"), ids)
bursts = st.tuples(st.just("burst"), st.integers(2, 12))
moves = st.tuples(st.sampled_from(["come", "go", "stop_reading", "read_on"]), roamers)
turns = st.tuples(st.just("turns"), st.integers(1, 30))
losses = st.tuples(st.just("lose"), st.integers(1, 9))
steps = st.lists(
    st.one_of(writes, writes, bursts, bursts, deletions, moves, moves, moves, moves, turns, losses),
    min_size=10,
    max_size=100,
)


class World:
    """A door, and clients that roam."""

    def __init__(self, standing):
        self.standing = standing
        self.roamers = [Roamer(standing, pattern, where) for pattern, where in ROAMERS]
        self.scribe = Scribe(standing)
        self.state = {}
        self.events = {}

    async def step(self, kind, *arguments):
        match kind:
            case "set":
                entity_id, name, value = arguments
                self.state.setdefault(entity_id, {})[name] = value
                self.events.setdefault(entity_id, []).append({name: value})
                await self.write(event(entity_id, {name: value}))
            case "delete":
                if self.state.pop(*arguments, None) is not None:
                    self.events[arguments[0]].append(None)
                await self.write(event(*arguments, {"__deleted__": True}))
            case "burst":
                for number in range(*arguments):
                    await self.step("set", IDS[number % len(IDS)], "w", number)
            case "turns":
                await self.turns(*arguments)
            case "lose":
                self.standing.bus.drop += arguments[0]
            case move:
                getattr(self.roamers[arguments[0]], move)()

    async def write(self, written):
        await self.standing.door.publisher.publish_all([written], ANYONE)

    async def turns(self, number):
        for _ in range(number):
            await asyncio.sleep(0)
            self.scribe.read()
            for roamer in self.roamers:
                roamer.read()

    async def settle(self):
        """Have all come and read, and wait until nobody is owed anything."""
        self.standing.bus.drop = 0
        for roamer in self.roamers:
            roamer.come()
        await self.standing.door.caught_up(self.standing.door.partitioning.all())

        def settled():
            self.scribe.read()
            for roamer in self.roamers:
                roamer.read_on()
            return self.scribe.settled and all(roamer.settled for roamer in self.roamers)

        await until(settled)

    def check(self):
        for roamer in self.roamers:
            assert roamer.fold.entities == self.seen_by(roamer), (roamer.pattern, roamer.where)

        assert self.scribe.missed or self.scribe.events == self.events

    def seen_by(self, roamer):
        holds = where_of(roamer.where) if roamer.where else lambda properties: True
        return {
            entity_id: properties
            for entity_id, properties in self.state.items()
            if names(roamer.pattern, entity_id) and holds(properties)
        }


async def run(plan):
    standing = await Standing.up(read_wait_ms=5_000)
    world = World(standing)
    try:
        await world.settle()
        for step in plan:
            await world.step(*step)
        await world.settle()
        world.check()
        for entity_id in IDS:
            await world.step("set", entity_id, "v", 7)
        await world.settle()
        world.check()
    finally:
        await standing.down()


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    monkeypatch.setattr(limits, "run_ids_max", 2)
    monkeypatch.setattr(limits, "resume_changes_max", 15)
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 500)
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 250)
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 300)
    monkeypatch.setattr(limits, "conflated_slice_bytes", 300)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_each_fold_is_the_state_and_nothing_is_told_twice(plan):
    note(str(plan))
    asyncio.run(run(plan))
