"""The NamespaceRouter: opens by itself, keeps the directory as an entity, survives what is away."""

from __future__ import annotations

import asyncio
import os

import pytest

from flux_actors.behaviour.code_store import digest_of
from flux_actors.behaviour.deployer import DeployRequest
from flux_actors.domain.acting.catalogue import Version
from flux_actors.domain.entity_id import DIRECTORY_ID
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.connection import NatsAccess
from flux_actors.router import namespace_router
from flux_actors.router.namespace_router import NamespaceRouter
from flux_actors.router.plan import RouterPlan
from flux_actors.tenancy.principal import ANYONE
from tests.unit.router.fake_shards import until
from tests.unit.router.opening import CreatedLog, routing

SHARD = "flux-shard-0-e1"


async def test_it_opens_without_being_asked(around):
    async with routing():
        await until(lambda: around.shards.hosted)
        assert around.log.created == (4, 1)
        await until(lambda: around.shards.asked)


async def test_it_tells_whose_it_is_and_what_it_knows(around):
    async with routing() as router:
        await until(lambda: len(around.shards.asked) > 1)
        assert await router.owner() == "somebody"
        status = await router.status()
        assert (status["pid"], status["partitions"]) == (os.getpid(), 4)
        assert [row["partition"] for row in status["shards"][SHARD]] == [0, 1, 2, 3]


async def test_admins_see_what_moves_and_change_the_number_of_shards(around):
    async with routing() as router:
        await router.scale(2)
        await until(lambda: len(around.shards.steps) == 4)
        found = await router.shards()
        assert (found["wanted"], len(found["nodes"]), found["partitions"]) == (2, 2, 4)
        with pytest.raises(Refused, match="1 to 4 shards"):
            await router.scale(5)


async def test_whoever_is_no_admin_does_neither(around):
    async with routing(admin_token="secret") as router:
        for ask in (router.scale(2), router.shards()):
            with pytest.raises(Refused) as refused:
                await ask
            assert refused.value.status == 403


async def test_it_introduces_whoever_asks_where_tokens_are_off(around):
    async with routing() as router:
        found = await router.introduce(None)
    assert (found.access.url, found.partitions, found.principal) == ("nats://nowhere", 4, ANYONE)


async def test_streams_are_made_once_and_never_again_for_a_log_that_lost_one(around):
    async with routing() as router:
        await router.open()
    around.log.created = None
    async with routing() as router:
        await router.open()
    assert around.log.created is None


async def test_it_waits_for_a_log_that_is_away(around):
    around.connects_to_fail = 3
    async with routing() as router:
        await router.open()
    assert around.connects == 4


async def test_settings_that_do_not_fit_the_log_are_refused(around):
    async with routing(4) as router:
        await router.open()
    refused = NamespaceRouter(NatsAccess("nats://nowhere"), RouterPlan("x", "", 1, 7, frozenset(), 1))
    with pytest.raises(Refused, match="has 4 partitions"):
        await refused.open()


async def test_the_directory_is_an_event_of_the_log(around):
    around.shards.totals[SHARD] = [("home", 2, 1_000_000), ("home", 1, 3_000_000), ("", 1, 1)]
    around.shards.sequence = 1
    async with routing():
        newest = await around.published(1)
    assert newest == {
        "namespaces": {"home": {"entities": 3, "lastUpdated": "1970-01-01T00:00:03+00:00"}},
        "totalNamespaces": 1,
        "totalEntities": 4,
    }


async def test_the_directory_follows_the_shards(around):
    around.shards.sequence = 1
    async with routing():
        await around.published(1)
        around.shards.totals[SHARD] = [("home", 1, 1)]
        around.shards.sequence = 2
        assert (await around.published(2))["totalEntities"] == 1


async def test_an_unchanged_directory_is_not_published_again(around):
    around.shards.sequence = 1
    async with routing():
        await around.published(1)
        around.shards.sequence = 2
        seen = len(around.shards.asked)
        await until(lambda: len(around.shards.asked) > seen + 10)
        assert len(await around.directories()) == 1


async def test_a_router_that_was_restarted_does_not_publish_the_directory_it_finds(around):
    around.shards.entities[DIRECTORY_ID] = {"namespaces": {}, "totalNamespaces": 0, "totalEntities": 0}
    around.shards.sequence = 1
    async with routing():
        await until(lambda: len(around.shards.asked) > 10)
    assert await around.directories() == []


async def test_a_directory_that_could_not_be_published_is_published_later(around, monkeypatch):
    monkeypatch.setattr("flux_actors.limits.append_deadline_s", 0.0)
    monkeypatch.setattr("flux_actors.limits.append_timeout_s", 0.0)
    around.shards.sequence = 1
    around.log.away = True
    async with routing() as router:
        await router.open()
        seen = len(around.shards.asked)
        await until(lambda: len(around.shards.asked) > seen + 10)
        around.log.away = False
        assert (await around.published(1))["totalEntities"] == 0


FAN = DeployRequest("Fan", Version(0, digest_of(b"code"), ["home/*"], ["on_change"]), b"code")


async def test_admins_deploy_and_every_partition_is_told(around):
    async with routing(admin_token="secret") as router:
        with pytest.raises(Refused, match="admin"):
            await router.deploy(FAN)
        assert (await router.deploy(FAN, "secret")).number == 1
        assert await around.controls() == [1, 1, 1, 1]
        with pytest.raises(Refused, match="no canary"):
            await router.promote("Fan", "secret")
        with pytest.raises(Refused, match="no earlier version"):
            await router.rollback("Fan", "secret")
        assert (await router.escalate("Fan", 1)).deployed[0].stopped
        assert not (await router.resume("Fan", "secret")).deployed[0].stopped
        assert (await router.remove("Fan", "secret")).deployed == []
        assert (await router.behaviours("secret")).revision == 4


async def test_admins_see_entities_that_act_and_act_on_them(around):
    async with routing(admin_token="secret") as router:
        await router.deploy(FAN, "secret")
        (row,) = await router.actors("home/", 9, "secret")
        assert row.entity.startswith("home/")
        await router.act("stop", "home/a", "secret")
        assert [(verb, entity) for _, verb, entity in around.shards.acted] == [("stop", "home/a")]
        with pytest.raises(Refused, match="hosted in its shard"):
            await router.pin("home/a", "0f", "secret")
        assert (await router.pin("home/a", None, "secret")).revision == 1


async def test_partition_that_shows_an_older_catalogue_is_brought_the_newest(around):
    async with routing() as router:
        await router.deploy(FAN)
        around.log = around.logs[1] = CreatedLog(8)  # its blocks are gone
        await until(lambda: len(around.shards.asked) > 10)
    around.shards.behaviours = 0
    async with routing():
        async with asyncio.timeout(5):
            while await around.controls() != [1, 1, 1, 1]:  # noqa: ASYNC110 - the log does not tell
                await asyncio.sleep(0)


async def test_what_is_deployed_is_shown_and_what_is_not_is_taken_away(around):
    around.shards.behaviours = 9
    around.shards.entities["flux-core/behaviours/Gone"] = {"version": 1}
    async with routing() as router:
        await router.deploy(FAN)
        async with asyncio.timeout(5):
            while not await shown(around, "flux-core/behaviours/Fan"):  # noqa: ASYNC110 - nor do shards
                await asyncio.sleep(0)
        assert await shown(around, "flux-core/behaviours/Gone") == [{"__deleted__": True}]
        assert (await shown(around, "flux-core/behaviours/Fan"))[0]["match"] == ["home/*"]


async def shown(around, entity_id):
    found = []
    for partition in range(4):
        for sequence in range(1, (await around.log.bounds(partition)).last + 1):
            events = decode_block(await around.log.block(partition, sequence)).events
            found += [event.properties for event in events if event.entity_id == entity_id]
    return found


def test_plan_does_not_tell_its_admin_token():
    plan = RouterPlan("x", "", 1, 4, frozenset(), 1, admin_token="secret")
    assert "secret" not in repr(plan)


async def test_draining_ends_the_shards_and_the_directory(around):
    async with routing() as router:
        await router.open()
    assert around.shards.drained == [SHARD]


async def test_it_says_by_which_plan_it_goes(around):
    async with routing(made_us=7) as router:
        await router.open()
        assert await router.founded() == ("somebody", 7)


async def test_it_retires_once_after_the_shards_have_drained_and_takes_everything_along(around, monkeypatch):
    done = []
    monkeypatch.setattr(
        namespace_router, "end_named_actors", lambda *, but: done.append(f"all but {but} end")
    )
    monkeypatch.setattr(namespace_router.ray.actor, "exit_actor", lambda: done.append("it ends"))
    async with routing() as router:
        await router.open()
        for _ in range(2):
            await router.retire()
        assert done == ["all but flux-router end", "it ends"]
        assert around.shards.drained == [SHARD]


async def test_a_router_that_never_opened_retires_all_the_same(around, monkeypatch):
    done = []
    monkeypatch.setattr(namespace_router, "end_named_actors", lambda *, but: done.append("all end"))
    monkeypatch.setattr(namespace_router.ray.actor, "exit_actor", lambda: done.append("it ends"))

    async def never(_):
        raise Unavailable("no log")

    monkeypatch.setattr(NamespaceRouter, "_open", never)
    router = NamespaceRouter(NatsAccess("nats://nowhere"), RouterPlan("x", "snapshots", 1, 4, frozenset(), 1))
    await router.retire()
    assert done == ["all end", "it ends"]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_a_fault_that_nobody_foresaw_ends_it_so_that_ray_starts_it_again(around, monkeypatch):
    """Else shards that die would be replaced by nobody any more, and the actor would look alive."""
    exits = []
    monkeypatch.setattr(os, "_exit", exits.append)
    async with routing():
        await until(lambda: around.shards.asked)

        def broken(*_):
            raise ZeroDivisionError

        around.shards.status = broken
        await until(lambda: exits)
    assert exits == [1]
