from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flux_actors.behaviour.roster import ActorRow, ActorState
from flux_actors.domain.acting.catalogue import Catalogue, Dedicated, Deployed, Version
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.router.actors import Actors, node_of
from flux_actors.router.shard_host import ShardGone

FAN = Deployed("Fan", Version(1, "ab" * 16, ["home/fan/*"], ["on_change"]))
CAMERA = Deployed("Camera", Version(1, "cd" * 16, ["home/camera/*"], ["on_change"], dedicated=Dedicated()))
NODES = [
    {"NodeID": "0a11", "Alive": True, "NodeManagerAddress": "10.0.0.1"},
    {"NodeID": "0a22", "Alive": True, "NodeManagerAddress": "10.0.0.2"},
    {"NodeID": "0c33", "Alive": False, "NodeManagerAddress": "10.0.0.3"},
]


def row(entity: str, messages: int = 0) -> ActorRow:
    return ActorRow(entity, "Fan", 1, "hosted", "0a11", False, ActorState.IDLE, messages, 0, "", 0, None)


class Desk:
    """Behaviours and shards as the router has them."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []
        self.pins: list[tuple[str, str | None]] = []
        self.done: list[tuple[str, int, str, str]] = []
        self.rows: dict[int, list[ActorRow]] = {}
        self.fault: Exception | None = None
        self.partitioning = Partitioning(2, frozenset({"home"}))
        owners: list[Any] = [SimpleNamespace(shard="one"), SimpleNamespace(shard="two")]
        registry = SimpleNamespace(partitioning=lambda: self.partitioning)
        self.topology = SimpleNamespace(owners=owners)
        router: Any = SimpleNamespace(registry=registry, topology=self.topology)
        desk: Any = self
        self.actors_of_router = Actors(router, desk, desk, lambda: NODES)

    def admit(self, admin_token: str | None) -> str:
        if admin_token != "admin":
            raise Refused("behaviours are the admin's", 403)
        return "admin token"

    async def catalogue(self) -> Catalogue:
        return Catalogue(1, [FAN, CAMERA])

    async def record(self, who: str, what: str, details: dict[str, Any]) -> None:
        self.records.append((who, what, details))

    async def pin(self, entity_id: str, node: str | None, admin_token: str | None) -> Catalogue:
        self.pins.append((entity_id, node))
        return await self.catalogue()

    async def actors(self, name: str, partition: int, prefix: str, rows_max: int) -> list[ActorRow]:
        if self.fault is not None:
            raise self.fault
        return self.rows.get(partition, [])[:rows_max]

    async def act_on(self, name: str, partition: int, verb: str, entity_id: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.done.append((name, partition, verb, entity_id))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_rows_of_all_shards_come_by_their_ids_those_with_something_to_tell_first_taken(
    desk: Desk,
) -> None:
    desk.rows = {
        0: [row("home/fan/4", messages=1), row("home/fan/1")],
        1: [row("home/fan/2"), row("home/fan/3")],
    }
    found = await desk.actors_of_router.find("home/", 3, "admin")
    assert [one.entity for one in found] == ["home/fan/1", "home/fan/2", "home/fan/4"]


async def test_what_is_done_is_recorded_without_the_id_and_goes_to_the_shard(desk: Desk) -> None:
    await desk.actors_of_router.act("kill", "home/fan/1", "admin")
    partition = desk.partitioning.of_entity("home/fan/1")
    assert desk.done == [(["one", "two"][partition], partition, "kill", "home/fan/1")]
    assert desk.records == [("admin token", "actor.kill", {"behaviour": "Fan"})]


async def test_dedicated_actor_is_pinned_by_how_the_id_of_a_node_begins_and_unpinned(desk: Desk) -> None:
    await desk.actors_of_router.pin("home/camera/1", "0a2", "admin")
    await desk.actors_of_router.pin("home/gone", None, "admin")  # whatever it is by now
    assert desk.pins == [("home/camera/1", "0a22"), ("home/gone", None)]


@pytest.mark.parametrize(
    ("entity_id", "node", "told"),
    [
        ("home/fan/1", "0a22", "hosted in its shard"),
        ("home/other", "0a22", "has no behaviour"),
        ("home/camera/1", "0c33", "0a11 (10.0.0.1), 0a22 (10.0.0.2)"),
        ("home/camera/1", "0a", "several nodes"),
        ("home/camera/1", "", "no living node"),
    ],
    ids=["hosted", "no behaviour", "dead node", "two nodes", "no node"],
)
async def test_pin_that_cannot_be_is_refused(desk: Desk, entity_id: str, node: str, told: str) -> None:
    with pytest.raises(Refused) as refused:
        await desk.actors_of_router.pin(entity_id, node, "admin")
    assert told in refused.value.message
    assert desk.pins == []


async def test_only_admins_see_and_do(desk: Desk) -> None:
    for call in (
        desk.actors_of_router.find("", 1, None),
        desk.actors_of_router.act("kill", "home/fan/1", "other"),
        desk.actors_of_router.pin("home/camera/1", None, None),
    ):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.status == 403
    assert (desk.records, desk.done, desk.pins) == ([], [], [])


@pytest.mark.parametrize("rows_max", [0, 1_000_000])
async def test_limit_that_is_none_is_refused(desk: Desk, rows_max: int) -> None:
    with pytest.raises(Refused):
        await desk.actors_of_router.find("", rows_max, "admin")


async def test_entity_without_a_behaviour_is_refused_and_not_recorded(desk: Desk) -> None:
    with pytest.raises(Refused):
        await desk.actors_of_router.act("stop", "home/other", "admin")
    assert desk.records == []


@pytest.mark.parametrize("fault", [ShardGone("one"), TimeoutError()], ids=["gone", "silent"])
async def test_shard_that_is_away_is_told(desk: Desk, fault: Exception) -> None:
    desk.fault = fault
    for call in (
        desk.actors_of_router.find("home/", 1, "admin"),
        desk.actors_of_router.act("kill", "home/fan/1", "admin"),
    ):
        with pytest.raises(Unavailable):
            await call


async def test_partition_that_nobody_hosts_is_told(desk: Desk) -> None:
    desk.topology.owners = [None, None]
    with pytest.raises(FluxError, match="nobody hosts"):
        await desk.actors_of_router.find("home/", 1, "admin")


def test_node_that_begins_so_is_found() -> None:
    assert node_of("0a1", NODES) == "0a11"
