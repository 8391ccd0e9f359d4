from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from flux_actors import limits
from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import FAULTED, LATE, REFUSED, Answered, Failed
from flux_actors.behaviour.change import Change
from flux_actors.behaviour.ports import Place
from flux_actors.behaviour.wire import decode_orders
from flux_actors.domain.acting.catalogue import Catalogue, Dedicated, Deployed, Supervision, Version
from flux_actors.domain.event import DELETED
from flux_actors.domain.terms import Terms
from tests.unit.behaviour.acting_world import World
from tests.unit.behaviour.homes import ID, Own, Thermostat


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
    monkeypatch.setattr(limits, "lane_calls_max", 1)
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
