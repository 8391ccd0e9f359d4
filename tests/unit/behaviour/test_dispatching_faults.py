from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import AWAY, LATE, STOPPED, Failed
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.ports import NOBODY, WorkerLost
from flux_actors.behaviour.wire import LOST, NO_CODE, TOO_LONG
from flux_actors.domain.acting.catalogue import Bounds, Supervision
from tests.unit.behaviour.acting_world import World
from tests.unit.behaviour.homes import ID, Own, Thermostat


async def test_message_that_fails_is_tried_again_and_then_the_entity_is_stopped(home: World) -> None:
    await home.publish(ID, {"celsius": "hot"})
    await home.idle()
    fault = home.fault_of(ID)
    assert fault is not None
    assert (fault["state"], fault["count"], fault["kind"]) == ("stopped", 3, "raised")
    assert "celsius is no number" in fault["error"]
    assert home.state_of(ID) == {"celsius": "hot"}
    answer = await home.ask(ID, "?")
    assert isinstance(answer, Failed)
    assert answer.kind == STOPPED


async def test_neighbours_of_an_entity_that_fails_go_on(home: World) -> None:
    await home.publish(ID, {"celsius": "hot"})
    await home.publish("home/attic/thermostat", {"celsius": 40})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}


async def test_stopped_entity_that_is_started_goes_on_with_what_comes(home: World) -> None:
    await home.publish(ID, {"celsius": "hot"})
    await home.idle()
    await home.publish(ID, {"celsius": 40})
    await home.idle()
    assert home.state_of("hall/fan") is None
    dispatcher = home.dispatchers[home.partitioning.of_entity(ID)]
    assert dispatcher is not None
    await dispatcher.operating.start(ID)
    await home.idle()
    await home.publish(ID, {"celsius": 41})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}
    fault = home.fault_of(ID)
    assert fault is not None
    assert fault["state"] == "started"


async def test_worker_that_is_lost_is_replaced_and_the_message_tried_again(home: World) -> None:
    home.workers.losses.append(WorkerLost(LOST, "killed"))
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}
    fault = home.fault_of(ID)
    assert fault is not None
    assert (fault["state"], fault["kind"]) == ("retrying", LOST)


async def test_worker_that_is_away_is_waited_for(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux_actors.behaviour.dispatching._AWAY_S", 0.001)
    home.workers.away = 3
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}
    assert home.fault_of(ID) is None


async def test_one_that_ends_its_worker_is_found_among_many(world: World) -> None:
    await world.deploy(Thermostat)
    world.workers.loses = "home/13/thermostat"
    for number in range(30):
        world_id = f"home/{number}/thermostat"
        await world.publish(world_id, {"celsius": 35, "n": number})
    await world.idle()
    fault = world.fault_of("home/13/thermostat")
    assert fault is not None
    assert (fault["state"], fault["kind"]) == ("stopped", LOST)
    assert [n for n in range(30) if world.fault_of(f"home/{n}/thermostat")] == [13]


async def test_who_only_waited_behind_the_one_that_ended_a_worker_is_not_to_blame(world: World) -> None:
    class Strict(Thermostat):
        supervision = Supervision("stop")

    await world.deploy(Strict)
    world.workers.losses.append(WorkerLost(LOST, "another partition has ended it", NOBODY))
    await world.publish(ID, {"celsius": 31})
    await world.idle()
    assert world.state_of("hall/fan") == {"on": True}
    assert world.fault_of(ID) is None


async def test_who_has_ended_a_worker_rests_until_there_is_a_spare(world: World) -> None:
    await world.deploy(Thermostat)
    lost = WorkerLost(LOST, "ended", 0, 0)
    lost.rest_s = 0.1
    world.workers.losses.append(lost)
    began = asyncio.get_running_loop().time()
    await world.publish(ID, {"celsius": 31})
    await world.idle()
    assert asyncio.get_running_loop().time() - began >= lost.rest_s
    assert world.state_of("hall/fan") == {"on": True}


async def test_code_that_cannot_be_loaded_stops_its_own_entities_alone(world: World) -> None:
    class Broken(Thermostat):
        match = "home/*/broken"

    _, broken = await world.deploy(Thermostat, Broken)
    world.workers.unusable = broken.digest
    await world.publish_all({"home/hall/broken": {"celsius": 31}, ID: {"celsius": 31}})
    await world.until(lambda: world.state_of("hall/fan"))
    await world.idle()
    fault = world.fault_of("home/hall/broken")
    assert fault is not None
    assert (fault["state"], fault["kind"]) == ("stopped", NO_CODE)
    assert world.fault_of(ID) is None


async def test_culprit_that_is_known_is_tried_alone(world: World) -> None:
    await world.deploy(Thermostat)
    world.workers.losses += [WorkerLost(TOO_LONG, "hung", 0, 0) for _ in range(3)]
    await world.publish(ID, {"celsius": 31})
    await world.idle()
    fault = world.fault_of(ID)
    assert fault is not None
    assert (fault["state"], fault["kind"], fault["count"]) == ("stopped", TOO_LONG, 3)


async def test_fault_that_is_escalated_is_told_the_router(world: World) -> None:
    class Fragile(Thermostat):
        supervision = Supervision("escalate")

    (version,) = await world.deploy(Fragile)
    await world.publish(ID, {"celsius": "hot"})
    await world.idle()
    await world.until(lambda: world.escalated)
    assert world.escalated == [("Fragile", version.number)]


async def test_cycle_of_effects_ends_and_is_reported(world: World) -> None:
    class Ping(Behaviour):
        match = "ping/*"
        bounds = Bounds(depth_max=5)

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            entity.emit("pong/1", {"n": entity.state["n"] + 1})

    class Pong(Behaviour):
        match = "pong/*"
        bounds = Bounds(depth_max=5)

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            entity.emit("ping/1", {"n": entity.state["n"] + 1})

    await world.deploy(Ping, Pong)
    await world.publish("ping/1", {"n": 0})
    await world.idle()
    assert world.state_of("pong/1") == {"n": 5}
    fault = world.fault_of("pong/1")
    assert fault is not None
    assert (fault["kind"], fault["state"]) == ("cycle", "stopped")


class Halting(Behaviour):
    match = "home/*"
    supervision = Supervision("stop")

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        if change.properties["to"] is None:
            raise ValueError("to nobody")
        entity.emit(change.properties["to"], {"seen": True})

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        return "here"


class Halted:
    """An entity that was stopped while the effects of what it did before are not durable."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.here = world.partitioning.of_entity("home/1")
        names = (f"far{number}/1" for number in range(99))
        self.far = next(name for name in names if world.partitioning.of_entity(name) != self.here)
        self.reached = asyncio.Event()
        self._append = world.log.append
        self.done = 0

    async def append(self, partition: int, data: bytes, block_id: str, timeout_s: float) -> int:
        if partition != self.here:
            await self.reached.wait()
        return await self._append(partition, data, block_id, timeout_s)

    async def fail(self) -> None:
        self.done = await self.world.publish("home/1", {"to": self.far})
        await self.world.publish("home/1", {"to": None})
        while not await self.refuses():  # noqa: ASYNC110 - it is no event to wait for
            await asyncio.sleep(0.001)

    async def refuses(self) -> bool:
        answer = await self.world.ask("home/1", "?", 0.01)
        return isinstance(answer, Failed) and answer.kind == STOPPED

    @property
    def stopped(self) -> dict[str, str]:
        return self.world.states[self.here].acting.stopped


@pytest.fixture
async def halted(world: World, monkeypatch: pytest.MonkeyPatch) -> Halted:
    await world.deploy(Halting)
    halted = Halted(world)
    monkeypatch.setattr(world.log, "append", halted.append)
    async with asyncio.timeout(5):
        await halted.fail()
    return halted


async def test_stop_waits_for_the_effects_of_what_was_done_before(halted: Halted) -> None:
    world = halted.world
    for number in range(3):
        await world.publish("home/1", {"to": halted.far, "n": number})  # as long as a stop would take
    assert not halted.stopped
    assert halted.done in world.states[halted.here].acting.outbox.messages
    halted.reached.set()
    await world.until(lambda: "home/1" in halted.stopped)
    await world.idle()
    assert world.state_of(halted.far) == {"seen": True}


async def test_entity_that_is_started_before_its_stop_is_noted_goes_on(halted: Halted) -> None:
    dispatcher = halted.world.dispatchers[halted.here]
    assert dispatcher is not None
    starting = asyncio.create_task(dispatcher.operating.start("home/1"))
    async with asyncio.timeout(5):
        while await halted.refuses():  # noqa: ASYNC110 - it is no event to wait for
            await asyncio.sleep(0.001)
    halted.reached.set()
    await starting
    await halted.world.idle()
    assert not halted.stopped


async def test_call_that_fails_in_an_unknown_way_ends_nothing_but_itself(home: World) -> None:
    home.workers.losses.append(RuntimeError("of Ray"))
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}
    fault = home.fault_of(ID)
    assert fault is not None
    assert (fault["kind"], fault["state"], "RuntimeError" in fault["error"]) == (LOST, "retrying", True)


async def test_questions_under_way_are_answered_when_the_dispatcher_ends(world: World) -> None:
    class Silent(Behaviour):
        match = "slow/*"

        async def on_ask(self, entity: ActingEntity, message: Any) -> Any:
            await asyncio.sleep(3_600)

    await world.deploy(Silent)
    asking = asyncio.create_task(world.ask("slow/1", "?", deadline_s=3_600))
    await world.until(lambda: world.workers.calls)
    dispatcher = world.dispatchers[world.partitioning.of_entity("slow/1")]
    assert dispatcher is not None
    await dispatcher.close()
    answer = await asyncio.wait_for(asking, 1)
    assert isinstance(answer, Failed)
    assert answer.kind == LATE


async def test_who_asks_an_entity_without_room_is_told_so_at_once(world: World) -> None:
    await world.deploy(Own)
    world.workers.away = 1
    for _ in range(2):  # the second while it waits to try again
        answer = await world.ask(ID, "?")
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.text) == (AWAY, "no worker can be started now")
