from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from flux_actors import limits
from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import AWAY, FAULTED, LATE, REFUSED, STOPPED, Answered, Failed
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.ports import NOBODY, Place, WorkerLost
from flux_actors.behaviour.wire import LOST, NO_CODE, TOO_LONG, decode_orders
from flux_actors.domain.acting.catalogue import Bounds, Catalogue, Dedicated, Deployed, Supervision, Version
from flux_actors.domain.event import DELETED
from flux_actors.domain.terms import Terms
from tests.unit.behaviour.acting_world import World

SOON = Supervision(retries=2, backoff_s=0.001)


class Thermostat(Behaviour):
    match = "home/*/thermostat"
    supervision = SOON

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        celsius = change.properties.get("celsius", 0)
        if celsius == "hot":
            raise ValueError("celsius is no number")
        if celsius > 30:
            entity.emit("hall/fan", {"on": True})
            entity.remind("check", after_s=60)

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        if message == "fail":
            raise KeyError(message)
        return {"celsius": entity.state.get("celsius")}

    def on_tell(self, entity: ActingEntity, message: Any) -> None:
        entity.set({"told": message})


class Own(Thermostat):
    """The same in a process of its own."""

    placement = Dedicated(num_cpus=0, idle_s=0.05)


PLACEMENTS = [Thermostat, Own]
ID = "home/hall/thermostat"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    yield world
    await world.close()


@pytest.fixture(params=PLACEMENTS)
async def home(request: pytest.FixtureRequest, world: World) -> World:
    await world.deploy(request.param)
    return world


async def test_effect_of_a_change_is_published_in_whatever_partition(home: World) -> None:
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    assert home.state_of("hall/fan") == {"on": True}
    assert home.states[0].acting.outbox.oldest is None


async def test_answer_comes_behind_all_messages_with_the_place_of_their_effects(home: World) -> None:
    await home.publish(ID, {"celsius": 31})
    answer = await home.ask(ID, {"what": "now"})
    assert isinstance(answer, Answered)
    assert answer.content == {"celsius": 31}
    fan = home.partitioning.of_entity("hall/fan")
    await home.until(lambda: home.states[fan].sequence >= answer.positions[fan] >> 12)
    assert home.state_of("hall/fan") == {"on": True}


async def test_question_to_an_entity_that_is_not_there_sees_no_state(home: World) -> None:
    assert await home.ask(ID, "?") == Answered({"celsius": None}, {})


async def test_question_without_a_behaviour_that_answers_is_refused(home: World) -> None:
    answer = await home.ask("home/other", "?")
    assert isinstance(answer, Failed)
    assert answer.kind == REFUSED


async def test_question_whose_handler_fails_is_told_so_and_harms_nothing(home: World) -> None:
    answer = await home.ask(ID, "fail")
    assert isinstance(answer, Failed)
    assert (answer.kind, "KeyError" in answer.text) == (FAULTED, True)
    assert isinstance(await home.ask(ID, "?"), Answered)
    assert home.fault_of(ID) is None


async def test_what_is_told_is_handled_once(home: World) -> None:
    await home.publish(ID, {}, Terms(told="hello"))
    await home.idle()
    assert home.state_of(ID) == {"told": "hello"}


async def test_reminder_that_a_handler_sets_is_kept(home: World) -> None:
    await home.publish(ID, {"celsius": 31})
    await home.idle()
    leases = home.states[home.partitioning.of_entity(ID)].entities[ID].leases
    assert leases is not None
    assert [name for name, _ in leases.reminder_rows()] == ["check"]


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


async def test_successor_takes_up_what_is_not_done_and_repeats_no_effect(world: World) -> None:
    class Counter(Behaviour):
        match = "home/*"

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            if "n" in change.properties:
                entity.emit(f"count/{change.properties['n']}", {"seen": True})

    await world.deploy(Counter)
    partition = world.partitioning.of_entity("home/1")
    before = world.dispatchers[partition]
    assert before is not None
    for number in range(20):
        await world.publish("home/1", {"n": number})
        if number % 5 == 0:
            world.restart(partition)  # the one before goes on beside it, as a zombie does
    await world.idle()
    other = world.partitioning.of_entity("count/0")
    assert [world.state_of(f"count/{number}") for number in range(20)] == [{"seen": True}] * 20
    counted = world.states[other].namespaces["count"]
    assert counted.entities == 20
    entities = world.states[other].entities
    counts = [actor.positions(0, 1 << 60, 9) for key, actor in entities.items() if key.startswith("count/")]
    assert [len(positions) for positions in counts] == [1] * 20
    await before.close()


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


async def test_async_handler_holds_up_nobody(world: World) -> None:
    class Slow(Behaviour):
        match = "slow/*"

        async def on_change(self, entity: ActingEntity, change: Change) -> None:
            while change.properties.get("wait"):  # noqa: ASYNC110 - until it is cancelled
                await asyncio.sleep(0.001)
            entity.emit("hall/done", {entity.id: True})

    await world.deploy(Slow, Thermostat)
    await world.publish("slow/1", {"wait": True})
    await world.publish("slow/2", {"wait": False})
    await world.publish(ID, {"celsius": 31})
    await world.until(lambda: world.state_of("hall/fan") and world.state_of("hall/done"))
    assert world.state_of("hall/done") == {"slow/2": True}
    await world.until(lambda: world.waiting() == 1)


async def test_question_that_is_not_answered_in_time_is_told_so(world: World) -> None:
    class Silent(Behaviour):
        match = "slow/*"

        async def on_ask(self, entity: ActingEntity, message: Any) -> Any:
            await asyncio.sleep(3_600)

    await world.deploy(Silent)
    answer = await world.ask("slow/1", "?", deadline_s=0.01)
    assert isinstance(answer, Failed)
    assert answer.kind == LATE


async def test_messages_of_a_removed_behaviour_are_let_go(world: World) -> None:
    await world.deploy(Thermostat)
    world.workers.away = 1_000_000
    await world.publish(ID, {"celsius": 31})
    await world.control(Catalogue(world.catalogue.revision + 1))
    await world.idle()
    assert world.state_of("hall/fan") is None


async def test_messages_that_wait_are_handled_by_the_version_that_replaces_the_broken_one(
    world: World,
) -> None:
    class Broken(Behaviour):
        match = "home/*"
        supervision = Supervision(retries=1_000, backoff_s=0.001, backoff_s_max=0.002)

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            raise RuntimeError("not yet")

    class Mended(Behaviour):
        match = "home/*"

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            entity.emit("hall/mended", {"v": change.properties["v"]})

    await world.deploy(Broken)
    await world.publish("home/1", {"v": 7})
    await world.until(lambda: world.fault_of("home/1"))
    await world.deploy(Mended)
    await world.idle()
    assert world.state_of("hall/mended") == {"v": 7}


async def test_own_process_of_an_idle_entity_ends_and_comes_again(world: World) -> None:
    await world.deploy(Own)
    await world.publish(ID, {"celsius": 31})
    await world.until(lambda: ID in world.workers.forgotten)
    assert isinstance(await world.ask(ID, "?"), Answered)


async def test_messages_of_one_entity_are_handled_in_log_order(world: World) -> None:
    class Listing(Behaviour):
        match = "home/*"

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            entity.emit("hall/list", {f"{change.properties['n']:03}": change.properties["n"]})

    await world.deploy(Listing)
    for number in range(50):
        await world.publish("home/1", {"n": number})
    await world.idle()
    assert list(world.state_of("hall/list") or {}) == [f"{number:03}" for number in range(50)]


async def test_deletion_is_told(world: World) -> None:
    class Mourner(Behaviour):
        match = "home/*"

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            if change.deleted:
                entity.emit("hall/grave", {entity.id: change.previous})

    await world.deploy(Mourner)
    await world.publish("home/1", {"v": 1})
    await world.publish("home/1", {DELETED: True})
    await world.idle()
    assert list(world.state_of("hall/grave") or {}) == ["home/1"]


async def test_many_messages_go_in_few_calls(world: World) -> None:
    await world.deploy(Thermostat)
    await world.publish_all({f"home/{number}/thermostat": {"celsius": 31} for number in range(200)})
    await world.idle()
    assert len(world.workers.calls) == 1
    assert limits.orders_items_max >= 200


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


async def test_message_that_left_the_outbox_is_not_handled_any_more(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flux_actors.behaviour.dispatching._AWAY_S", 0.001)
    home.workers.away = 1_000_000
    position = await home.publish(ID, {"celsius": 31})
    here = home.partitioning.of_entity(ID)
    await home.note(here, Terms(handled=[position]))
    await home.until(lambda: not home.waiting())
    home.workers.away = 0
    await home.publish(ID, {"celsius": 20})
    await home.idle()
    assert home.state_of("hall/fan") is None


async def test_version_with_another_environment_takes_over_what_waits_in_a_lane(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Behaviour):
        match = "other/*"

        def on_change(self, entity: ActingEntity, change: Change) -> None:
            entity.emit("hall/other", {"seen": True})

    free, run = asyncio.Event(), world.workers.run
    orders_of: dict[str, list[Place]] = {}

    async def gated(place: Place, versions: dict[str, Version], orders: bytes, *, awaits: bool) -> bytes:
        await free.wait()
        for one in decode_orders(orders).runs:
            orders_of.setdefault(one.entity_id, []).append(place)
        return await run(place, versions, orders, awaits=awaits)

    here = world.partitioning.of_entity(ID)
    other = next(
        one for one in (f"other/{n}" for n in range(99)) if world.partitioning.of_entity(one) == here
    )
    monkeypatch.setattr(world.workers, "run", gated)
    thermostat, version = await world.deploy(Thermostat, Other)
    await world.publish(ID, {"celsius": 31})
    await world.publish(other, {"v": 1})  # waits in the lane
    moved = msgspec.structs.replace(version, environment="of-its-own")
    deployed = [Deployed("Thermostat", thermostat), Deployed("Other", moved)]
    await world.control(Catalogue(world.catalogue.revision + 1, deployed))
    free.set()
    await world.idle()
    assert orders_of == {ID: [Place()], other: [Place("of-its-own")]}
    assert world.state_of("hall/other") == {"seen": True}


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


async def test_own_process_moves_when_its_entity_is_pinned_and_ends_when_its_behaviour_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Staying(Thermostat):
        placement = Dedicated(num_cpus=0)

    monkeypatch.setattr("flux_actors.behaviour.dispatching._SWEEP_S", 0.001)
    world.restart(world.partitioning.of_entity(ID))
    await world.deploy(Staying)
    await world.publish(ID, {"celsius": 31})
    await world.idle()
    catalogue = world.catalogue
    await world.control(Catalogue(catalogue.revision + 1, catalogue.deployed, {ID: "0f"}))
    await world.until(lambda: [place.node for place in world.workers.begun] == ["0f"])
    await world.control(Catalogue(catalogue.revision + 2))
    await world.until(lambda: world.workers.forgotten == [ID, ID])


async def test_who_asks_an_entity_without_room_is_told_so_at_once(world: World) -> None:
    await world.deploy(Own)
    world.workers.away = 1
    for _ in range(2):  # the second while it waits to try again
        answer = await world.ask(ID, "?")
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.text) == (AWAY, "no worker can be started now")
