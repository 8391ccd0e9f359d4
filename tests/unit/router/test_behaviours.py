from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from flux_actors import limits
from flux_actors.behaviour.code_store import MemoryCodeStore, digest_of
from flux_actors.behaviour.deployer import Deployer, DeployRequest
from flux_actors.domain.acting.catalogue import Catalogue, Dedicated, Deployed, Version
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import decode_block, has_control
from flux_actors.log.memory import MemoryKeyValue, MemoryLog
from flux_actors.router.behaviours import Admins, Behaviours, facts_of
from flux_actors.router.core_events import CoreEvents
from flux_actors.shard.partition import PartitionStatus

CODE = b"code"
VERSION = Version(0, digest_of(CODE), ["home/*"], ["on_change"])
FAN = DeployRequest("Fan", VERSION, CODE)
ADMIN = "the-admin-token"
NOW_US = 1_700_000_000_000_000
NODE = "0f" * 28


def status(partition: int, behaviours: int, phase: str = "running") -> PartitionStatus:
    return PartitionStatus(partition, 1, phase, 0, 0, 0, 0, 0, 0, None, 0, 0, behaviours)


async def nothing_stored() -> dict[str, dict[str, Any]]:
    return {}


class Desk:
    """The router's part in behaviours, and all around it."""

    def __init__(self, admins: Admins | None = None) -> None:
        self.log = MemoryLog(2)
        self.store = MemoryKeyValue()
        self.code = MemoryCodeStore()
        self.hidden: set[str] = set()
        now_us = lambda: NOW_US  # noqa: E731
        self.deployer = Deployer(self.store, self.code, self.log, 2, now_us)
        self.events = CoreEvents(self.log, Partitioning(2), itertools.count(1).__next__, now_us)
        admins = admins or Admins(ADMIN, auth_enabled=False)
        self.behaviours = Behaviours(self.deployer, self.events, admins, self.hidden, now_us)

    async def deploy(self, request: DeployRequest = FAN) -> Version:
        return await self.behaviours.deploy(request, ADMIN)

    async def look(self, *rows: PartitionStatus) -> None:
        await self.behaviours.look(rows, nothing_stored)

    async def written(self, entity_id: str) -> list[dict[str, Any] | None]:
        """The properties of all events of an entity."""
        partition = self.events.partition_of(entity_id)
        found = [event for block in await self.blocks(partition) for event in decode_block(block).events]
        return [event.properties for event in found if event.entity_id == entity_id]

    async def records(self) -> list[tuple[str, str, dict[str, Any]]]:
        rows = [row for row in await self.written("flux-core/audit") if row is not None]
        return [(row["who"], row["what"], row["details"]) for row in rows]

    async def blocks(self, partition: int) -> list[bytes]:
        last = (await self.log.bounds(partition)).last
        return [await self.log.block(partition, sequence) for sequence in range(1, last + 1)]

    async def controls(self, partition: int) -> int:
        return sum(map(has_control, await self.blocks(partition)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_deployed_behaviour_is_numbered_stored_recorded_and_told(desk: Desk) -> None:
    assert await desk.deploy() == msgspec.structs.replace(VERSION, number=1, deployed_us=NOW_US)
    assert await desk.code.get(VERSION.digest) == CODE
    assert await desk.records() == [
        ("admin token", "behaviour.deploy", {"behaviour": "Fan", "digest": VERSION.digest, "canary": False})
    ]
    assert [await desk.controls(partition) for partition in (0, 1)] == [1, 1]
    assert [one.name for one in (await desk.behaviours.list(ADMIN)).deployed] == ["Fan"]


async def test_every_change_is_recorded_by_its_name(desk: Desk) -> None:
    await desk.deploy()
    other = DeployRequest("Fan", msgspec.structs.replace(VERSION, match=["home/fan"]), CODE, canary="home/f")
    assert (await desk.deploy(other)).number == 2
    await desk.behaviours.promote("Fan", ADMIN)
    await desk.behaviours.rollback("Fan", ADMIN)
    await desk.behaviours.pin("home/fan", NODE, ADMIN)
    await desk.behaviours.escalate("Fan", 1)
    await desk.behaviours.resume("Fan", ADMIN)
    catalogue = await desk.behaviours.remove("Fan", ADMIN)
    assert catalogue == Catalogue(8, pins={"home/fan": NODE})
    assert [(who, what) for who, what, _ in await desk.records()] == [
        ("admin token", "behaviour.deploy"),
        ("admin token", "behaviour.canary"),
        ("admin token", "behaviour.promote"),
        ("admin token", "behaviour.rollback"),
        ("admin token", "behaviour.pin"),
        ("a shard", "behaviour.stop"),
        ("admin token", "behaviour.resume"),
        ("admin token", "behaviour.remove"),
    ]
    assert ADMIN not in str(await desk.records())
    assert "home/fan" not in str(await desk.records())  # the namespace may be a private one


async def test_what_changes_nothing_or_is_refused_is_not_recorded(desk: Desk) -> None:
    await desk.deploy()
    assert (await desk.deploy()).number == 1
    await desk.behaviours.resume("Fan", ADMIN)
    await desk.behaviours.escalate("Fan", 7)
    with pytest.raises(Refused):
        await desk.behaviours.rollback("Fan", ADMIN)
    bad = msgspec.structs.replace(FAN, version=msgspec.structs.replace(VERSION, match=[]))
    with pytest.raises(Refused, match="needs match"):
        await desk.deploy(bad)
    assert len(await desk.records()) == 1


async def test_version_that_is_refused_leaves_no_code(desk: Desk) -> None:
    with pytest.raises(Refused):
        await desk.deploy(msgspec.structs.replace(FAN, name="no name"))
    assert desk.code.kept == {}


CALLS: list[Callable[[Behaviours, str | None], Awaitable[Any]]] = [
    lambda b, token: b.deploy(FAN, token),
    lambda b, token: b.list(token),
    lambda b, token: b.promote("Fan", token),
    lambda b, token: b.rollback("Fan", token),
    lambda b, token: b.remove("Fan", token),
    lambda b, token: b.resume("Fan", token),
    lambda b, token: b.pin("home/fan", NODE, token),
]


@pytest.mark.parametrize("token", [None, "", "the-admin-tokem", ADMIN + "x", "flux_0011_secret"])
@pytest.mark.parametrize(
    "call", CALLS, ids=["deploy", "list", "promote", "rollback", "remove", "resume", "pin"]
)
async def test_who_is_no_admin_changes_nothing(
    desk: Desk, call: Callable[[Behaviours, str | None], Awaitable[Any]], token: str | None
) -> None:
    with pytest.raises(Refused, match="admin's to change") as caught:
        await call(desk.behaviours, token)
    assert caught.value.status == 403
    assert desk.code.kept == {}
    assert [await desk.blocks(partition) for partition in (0, 1)] == [[], []]


def test_admin_rule() -> None:
    assert Admins(None, auth_enabled=False).check(None) == "anyone in the cluster"
    assert Admins(ADMIN, auth_enabled=True).check(ADMIN) == "admin token"
    for token in (None, "", "x"):
        with pytest.raises(Refused, match="start it with FLUX_ADMIN_TOKEN"):
            Admins(None, auth_enabled=True).check(token)


async def test_change_that_cannot_be_recorded_is_not_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    desk.log.away = True
    with pytest.raises(Unavailable):
        await desk.deploy()
    assert await desk.deployer.catalogue() == Catalogue()


async def test_change_that_the_store_did_not_take_is_recorded_as_none(desk: Desk) -> None:
    put, desk.store.put = desk.store.put, None  # type: ignore[assignment, method-assign]

    async def away(key: str, value: bytes, expected: int | None = None) -> int:
        raise Unavailable("the store is away")

    desk.store.put = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await desk.deploy()
    assert (await desk.records())[-1] == (
        "admin token",
        "behaviour.unchanged",
        {"reason": "the store is away"},
    )
    desk.store.put = put  # type: ignore[method-assign]
    assert (await desk.deploy()).number == 1


async def test_look_brings_the_catalogue_to_partitions_that_run_without_it(desk: Desk) -> None:
    await desk.deploy()
    await desk.look(status(0, 1), status(1, 1))
    assert [await desk.controls(partition) for partition in (0, 1)] == [1, 1]
    catalogue = await desk.deployer.wish(lambda c: msgspec.structs.replace(c, revision=2))
    await desk.look(status(0, 2), status(1, 1, "recovering"))
    assert [await desk.controls(partition) for partition in (0, 1)] == [1, 1]
    await desk.look(status(0, 1), status(1, 2))
    assert [await desk.controls(partition) for partition in (0, 1)] == [2, 1]
    assert catalogue.revision == 2


async def test_what_is_deployed_is_an_entity_from_the_next_look_on(desk: Desk) -> None:
    await desk.deploy()
    assert await desk.written("flux-core/behaviours/Fan") == []
    for _ in range(3):
        await desk.look()
    (facts,) = await desk.written("flux-core/behaviours/Fan")
    assert facts == {
        "version": 1,
        "digest": VERSION.digest,
        "match": ["home/*"],
        "handles": ["on_change"],
        "placement": "hosted",
        "deployed": "2023-11-14T22:13:20+00:00",
        "canary": None,
        "stopped": False,
        "earlier": [],
    }
    await desk.behaviours.escalate("Fan", 1)
    assert [row and row["stopped"] for row in await desk.written("flux-core/behaviours/Fan")] == [False, True]
    await desk.behaviours.remove("Fan", ADMIN)
    assert (await desk.written("flux-core/behaviours/Fan"))[-1] == {"__deleted__": True}


async def test_router_that_was_started_again_goes_on_from_what_is_shown(desk: Desk) -> None:
    await desk.deploy()
    facts = facts_of((await desk.deployer.catalogue()).deployed[0], set())

    async def stored() -> dict[str, dict[str, Any]]:
        return {"flux-core/behaviours/Fan": facts, "flux-core/behaviours/Gone": {"version": 1}}

    await desk.behaviours.look([], stored)
    assert await desk.written("flux-core/behaviours/Fan") == []
    assert await desk.written("flux-core/behaviours/Gone") == [{"__deleted__": True}]


async def test_older_catalogue_is_not_shown_over_a_newer_one(desk: Desk) -> None:
    await desk.deploy()
    old = await desk.deployer.catalogue()
    await desk.look()
    await desk.behaviours.remove("Fan", ADMIN)

    async def late() -> Catalogue:
        return old

    desk.deployer.catalogue = late  # type: ignore[method-assign]
    await desk.look()
    assert len(await desk.written("flux-core/behaviours/Fan")) == 2


async def test_private_namespaces_are_left_out_when_they_become_so(desk: Desk) -> None:
    version = msgspec.structs.replace(VERSION, match=["home/*", "vault/door"])
    await desk.deploy(DeployRequest("Fan", version, CODE))
    await desk.look()
    desk.hidden.add("vault")
    await desk.look()
    shown = [row and row["match"] for row in await desk.written("flux-core/behaviours/Fan")]
    assert shown == [["home/*", "vault/door"], ["home/*"]]


@pytest.mark.parametrize(
    ("prefix", "told"),
    [("home/f", "home/f"), ("ho", "ho"), ("vault/d", None), ("vault", None), ("va", None)],
)
def test_facts_tell_a_canary_but_no_private_name(prefix: str, told: str | None) -> None:
    tried = msgspec.structs.replace(VERSION, number=2, dedicated=Dedicated(2, 1), match=["vault/*"])
    one = Deployed("Fan", canary=tried, canary_prefix=prefix, numbered=2)
    facts = facts_of(one, {"vault"})
    assert facts["version"] is None
    canary = facts["canary"]
    assert canary["prefix"] == told
    assert (canary["version"], canary["match"]) == (2, [])
    assert canary["placement"] == {"num_cpus": 2, "num_gpus": 1, "resources": {}, "idle_s": 300.0}
