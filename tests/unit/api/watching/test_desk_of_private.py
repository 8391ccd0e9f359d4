"""The desk: namespaces that not everybody may see."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.api.standing import change, event, settle, until
from tests.unit.api.watching.roaming import SlowLink
from tests.unit.api.watching.watchers import DELTA, Client, brief


@pytest.fixture
async def stranger(tenants):
    client = Client(tenants.standing)
    client.hub.identify(client.watcher, tenants.standing.door.tenancy.known(None))
    return client


async def holder(tenants, kind):
    client = Client(tenants.standing)
    principal = await tenants.standing.door.tenancy.principal_of(f"Bearer {tenants.tokens[kind]}")
    client.hub.join(client.watcher)
    client.hub.identify(client.watcher, principal)
    return client


@pytest.mark.parametrize("options", [{}, {"places": {}}, {"where": "v > 0"}], ids=str)
async def test_private_entities_are_told_to_those_who_may_read_them(tenants, stranger, options):
    member = await holder(tenants, "read")
    for client in (stranger, member):
        client.subscribe("*", delta=True, initial=True, **options)
        await until(lambda client=client: client.settled)
    await tenants.standing.publish(event("vault/x", {"v": 2}), event("acme/x", {"v": 2}))
    seen = {one[1] for one in brief(stranger.take()) if one[0] != "resync"}
    assert {one.split("/")[0] for one in seen} == {"acme"}
    heard = brief(member.take())
    assert ("state", "vault/x", {"v": 1}) in heard
    assert ("delta", "vault/x", {"v": 2}) in heard


async def test_a_resumed_one_is_told_what_it_may_see(tenants, stranger):
    places = tenants.standing.door.positions(stranger.hub.place_of("*"))
    await tenants.standing.publish(event("vault/x", {"v": 2}), event("acme/x", {"v": 3}))
    member = await holder(tenants, "prefix")  # of vault/kitchen/
    await tenants.standing.publish(event("vault/kitchen/x", {"v": 4}))
    for client in (stranger, member):
        client.subscribe("*", delta=True, places=places)
        await until(lambda client=client: client.settled)
    assert brief(stranger.take()) == [("delta", "acme/x", {"v": 3})]
    heard = [one for one in brief(member.take()) if one[0] == "delta"]
    assert sorted(heard, key=str) == [("delta", "acme/x", {"v": 3}), ("delta", "vault/kitchen/x", {"v": 4})]


@pytest.mark.usefixtures("_small")
async def test_what_a_slow_one_is_owed_is_what_it_may_see(tenants):
    standing = tenants.standing
    links = [SlowLink(standing.door.hub) for _ in range(2)]
    member = await standing.door.tenancy.principal_of(f"Bearer {tenants.tokens['read']}")
    for link, principal in zip(links, (member, standing.door.tenancy.known(None)), strict=True):
        link.hub.join(link.watcher)
        link.hub.identify(link.watcher, principal)
        link.hub.subscribe(link.watcher, "*", DELTA)
        link.reads = False
    one = ("acme/x", "vault/x")
    links[0].hub.dispatch([change(one[n % 2], {"v": n}, 10 + n) for n in range(60)])
    heard = []
    for link in links:
        assert link.watcher.lag is not None
        link.reads = True
        link.take()
        link.hub.relieve(link.watcher)
        await settle()
        heard.append({message[1] for message in brief(link.take()) if message[0] == "delta"})
    assert heard == [{"acme/x", "vault/x"}, {"acme/x"}]


async def test_a_token_that_is_revoked_ends_what_is_held_and_what_comes(tenants, monkeypatch):
    member = await holder(tenants, "read")
    gate, rows = asyncio.Event(), tenants.standing.shard.rows

    async def later(*arguments):
        await gate.wait()
        return await rows(*arguments)

    monkeypatch.setattr(tenants.standing.shard, "rows", later)
    member.subscribe("vault/*", delta=True, initial=True)
    await tenants.standing.publish(event("vault/x", {"v": 2}))
    await tenants.revoke("read")
    await tenants.standing.door.tenancy.read()
    gate.set()
    await until(lambda: member.settled)
    await tenants.standing.publish(event("vault/x", {"v": 3}))
    assert [message["type"] for message in member.take()] == ["error"]
