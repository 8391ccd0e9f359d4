from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from flux_actors import limits
from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.roster import ActorRow, ActorState, roster
from flux_actors.domain.acting.catalogue import Catalogue, Dedicated, Supervision
from flux_actors.domain.terms import Terms
from flux_actors.shard.index import IdIndex
from tests.unit.behaviour.acting_world import World


class Lamp(Behaviour):
    match = "home/*"
    supervision = Supervision(retries=1, backoff_s=60, backoff_s_max=60)

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        if change.properties.get("fail"):
            raise ValueError("told to fail")

    async def on_tell(self, entity: ActingEntity, message: Any) -> None:
        await asyncio.sleep(3_600)


class Camera(Behaviour):
    match = "home/camera/*"
    placement = Dedicated(num_cpus=0)

    def on_change(self, entity: ActingEntity, change: Change) -> None: ...


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    await world.deploy(Lamp, Camera)
    yield world
    await world.close()


async def rows_of(world: World, prefix: str = "home/", rows_max: int = 1_000) -> list[ActorRow]:
    partition = world.partitioning.of_entity("home/1")
    state, dispatcher = world.states[partition], world.dispatchers[partition]
    assert dispatcher is not None
    return await roster(state, dispatcher, IdIndex(state), prefix, rows_max)


async def row_of(world: World, entity_id: str) -> ActorRow:
    return next(row for row in await rows_of(world) if row.entity == entity_id)


async def test_entities_without_a_behaviour_are_left_out(world: World) -> None:
    await world.publish_all({"home/1": {"v": 1}, "home/2": {"v": 1}})
    await world.idle()
    await world.control(Catalogue(world.catalogue.revision + 1, world.catalogue.deployed[1:]))
    await world.publish("home/camera/1", {"v": 1})
    await world.idle()
    (row,) = await rows_of(world)
    assert (row.entity, row.behaviour, row.version, row.placement) == (
        "home/camera/1",
        "Camera",
        1,
        "dedicated",
    )
    assert (row.node, row.state, row.tells) == ("here", ActorState.IDLE, True)


async def test_of_an_idle_one_there_is_nothing_to_tell(world: World) -> None:
    await world.publish("home/1", {"v": 1})
    await world.idle()
    row = await row_of(world, "home/1")
    assert (row.placement, row.state, row.messages, row.fault, row.tells) == ("hosted", "idle", 0, "", False)


async def test_faults_messages_and_reminders_are_told(world: World) -> None:
    await world.publish("home/1", {"v": 1}, Terms(remind={"b": 60_000, "a": 50_000}))
    await world.publish("home/1", {"fail": True})
    await world.until(lambda: world.fault_of("home/1"))
    row = await row_of(world, "home/1")
    assert (row.state, row.messages, row.faults, row.reminders) == (ActorState.RETRYING, 1, 1, 2)
    assert "told to fail" in row.fault
    clock_us = world.states[world.partitioning.of_entity("home/1")].clock_us
    assert row.next_reminder_us is not None
    assert 40_000_000 < row.next_reminder_us - clock_us <= 50_000_000


async def test_one_that_works_is_running_and_one_without_a_worker_waits(world: World) -> None:
    await world.publish("home/1", {}, Terms(told="work"))
    assert (await row_of(world, "home/1")).state is ActorState.RUNNING
    world.workers.away = 1_000
    await world.publish("home/camera/1", {"v": 1})
    dispatcher = world.dispatchers[world.partitioning.of_entity("home/camera/1")]
    assert dispatcher is not None
    await world.until(lambda: dispatcher.mailboxes["home/camera/1"].away)
    row = await row_of(world, "home/camera/1")
    assert (row.state, row.messages, row.fault) == (ActorState.WAITING, 1, "no worker can be started now")


async def test_stopped_and_escalated_ones_say_so(world: World) -> None:
    dispatcher = world.dispatchers[world.partitioning.of_entity("home/1")]
    assert dispatcher is not None
    await world.publish("home/1", {"v": 1})
    await dispatcher.operating.stop("home/1")
    row = await row_of(world, "home/1")
    assert (row.state, row.tells) == (ActorState.STOPPED, True)
    lamp, camera = world.catalogue.deployed
    await world.control(Catalogue(world.catalogue.revision + 1, [replace(lamp, stopped=True), camera]))
    assert (await row_of(world, "home/1")).state is ActorState.ESCALATED


async def test_those_with_something_to_tell_come_first_and_a_prefix_leaves_out_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "run_ids_max", 3)
    await world.publish_all({f"home/{number:02}": {"v": 1} for number in range(20)})
    await world.publish("home/19", {"v": 1}, Terms(remind={"a": 60_000}))
    await world.idle()
    assert [row.entity for row in await rows_of(world, rows_max=3)] == ["home/19", "home/00", "home/01"]
    assert (await rows_of(world, "home/1", 4))[0].entity == "home/19"
    assert len(await rows_of(world)) == 20
    assert await rows_of(world, "away/") == []
