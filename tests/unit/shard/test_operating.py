from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.calls import Answered, Failed
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.errors import Refused, Unavailable
from flux_actors.shard.index import IdIndex
from flux_actors.shard.operating import act_on, actors, decode_actors
from flux_actors.shard.partition import Phase
from tests.unit.behaviour.acting_world import World
from tests.unit.shard.hosting import Hosting

ID = "home/1"


class Counter(Behaviour):
    match = "home/*"

    def __init__(self) -> None:
        self.asked = 0

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        self.asked += 1
        return self.asked


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    await world.deploy(Counter)
    await world.publish(ID, {"v": 1})
    yield world
    await world.close()


def host(world: World) -> Any:
    """The partition of the entity, as its shard hosts it."""
    partition = world.partitioning.of_entity(ID)
    state, dispatcher = world.states[partition], world.dispatchers[partition]

    async def reached(sequence: int) -> None:
        await world.until(lambda: state.sequence >= sequence)

    return SimpleNamespace(
        readable=lambda: state, acts=lambda: dispatcher, index=IdIndex(state), reached=reached
    )


async def counted(world: World) -> Any:
    answer = await world.ask(ID, "?")
    return answer.content if isinstance(answer, Answered) else answer


async def test_rows_come_back_as_they_were_encoded(world: World) -> None:
    (row,) = decode_actors(await actors(host(world), "home/", 10))
    assert (row.entity, row.behaviour, row.state) == (ID, "Counter", "idle")


async def test_what_is_done_holds_at_once(world: World) -> None:
    assert [await counted(world), await counted(world)] == [1, 2]
    await act_on(host(world), "kill", ID)
    assert await counted(world) == 1
    await act_on(host(world), "stop", ID)
    assert isinstance(await counted(world), Failed)
    assert list(host(world).readable().acting.stopped) == [ID]
    await act_on(host(world), "restart", ID)
    assert host(world).readable().acting.stopped == {}
    assert await counted(world) == 1


async def test_what_cannot_be_done_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="has no behaviour"):
        await act_on(host(world), "kill", "other/1")
    with pytest.raises(Refused, match="kill, restart, stop are"):
        await act_on(host(world), "burn", ID)
    (one,) = world.catalogue.deployed
    await world.control(Catalogue(world.catalogue.revision + 1, [replace(one, stopped=True)]))
    with pytest.raises(Refused, match="flux behaviours resume Counter"):
        await act_on(host(world), "restart", ID)


async def test_partition_without_a_dispatcher_says_to_try_again() -> None:
    hosted = Hosting().host()
    hosted.phase = Phase.RUNNING
    with pytest.raises(Unavailable):
        hosted.acts()
