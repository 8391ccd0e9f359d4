from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import STOPPED, Answered, Failed
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.operating import Operating
from flux_actors.behaviour.ports import WorkerLost
from flux_actors.behaviour.wire import LOST
from flux_actors.domain.acting.catalogue import Dedicated
from tests.unit.behaviour.acting_world import World

ID = "home/hall/thermostat"


class Thermostat(Behaviour):
    match = "home/*/thermostat"

    def __init__(self) -> None:
        self.asked = 0

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        entity.emit("hall/fan", {"on": True})

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        self.asked += 1
        return self.asked


class Own(Thermostat):
    """The same in a process of its own."""

    placement = Dedicated(num_cpus=0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    yield world
    await world.close()


@pytest.fixture(params=[Thermostat, Own])
async def home(request: pytest.FixtureRequest, world: World) -> World:
    await world.deploy(request.param)
    return world


def operating(world: World) -> Operating:
    dispatcher = world.dispatchers[world.partitioning.of_entity(ID)]
    assert dispatcher is not None
    return dispatcher.operating


async def test_killed_behaviour_begins_anew_with_the_next_message(home: World) -> None:
    for counted in (1, 2):
        assert (await home.ask(ID, "?")).content == counted  # type: ignore[union-attr]
    await operating(home).kill(ID)
    assert (await home.ask(ID, "?")).content == 1  # type: ignore[union-attr]


async def test_entity_that_an_operator_stops_says_so_and_goes_on_once_it_is_started(home: World) -> None:
    await operating(home).stop(ID)
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    answer = await home.ask(ID, "?")
    assert isinstance(answer, Failed)
    assert (answer.kind, "stopped by an operator" in answer.text) == (STOPPED, True)
    assert (home.fault_of(ID) or {})["error"] == "stopped by an operator"
    await operating(home).start(ID)
    await home.until(lambda: home.states[home.partitioning.of_entity(ID)].acting.stopped == {})
    assert isinstance(await home.ask(ID, "?"), Answered)
    assert home.state_of("hall/fan") is None  # what came while it was stopped is let go


async def test_message_whose_process_an_operator_kills_is_handled_again_and_is_no_fault(world: World) -> None:
    await world.deploy(Own)
    begun, killed = asyncio.Event(), asyncio.Event()

    async def until_killed(*_: Any, **__: Any) -> bytes:
        world.workers.run = run  # type: ignore[method-assign]
        begun.set()
        await killed.wait()
        raise WorkerLost(LOST, "killed")

    run, world.workers.run = world.workers.run, until_killed  # type: ignore[method-assign]
    await world.publish(ID, {"celsius": 31})
    await begun.wait()
    await operating(world).kill(ID)
    killed.set()
    await world.idle()
    assert ID in world.workers.forgotten
    assert world.state_of("hall/fan") == {"on": True}
    assert world.fault_of(ID) is None
