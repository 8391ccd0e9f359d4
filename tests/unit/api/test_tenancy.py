"""The tenants of a door: what other doors do is in force here within a second, or nothing is trusted."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from flux_actors import limits
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.shard.reads import NO_VEIL, Veil
from flux_actors.tenancy.namespace import Visibility, register
from flux_actors.tenancy.principal import ADMIN, ANYONE, NOBODY, UNKNOWN
from flux_actors.tenancy.token import new_token
from flux_api.app import build_app
from flux_api.listing import Listing
from flux_api.tenancy import TenancyKeeper, check_begun
from tests.unit.api.standing import event, until
from tests.unit.api.tenants import ADMIN_TOKEN


@pytest.fixture
def keeper(tenants):
    return tenants.standing.door.tenancy


def client_of(tenants):
    app = build_app(tenants.standing.door.settings, tenants.standing.door)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux")


async def test_a_header_stands_for_one_client(keeper, tenants):
    main = tenants.tokens["main"]
    assert keeper.known(None) is NOBODY
    assert keeper.known(f"Bearer {main}").namespace == "vault"
    assert keeper.known(f"bearer   {main} ").namespace == "vault"
    assert keeper.known(f"Bearer {ADMIN_TOKEN}") is ADMIN
    for other in (
        "",
        "Bearer",
        "Bearer ",
        main,
        f"Basic {main}",
        f"Bearer {main}, Bearer {main}",
        "Bearer é",
    ):
        assert keeper.known(other) is UNKNOWN


async def test_without_a_store_all_are_anyone():
    keeper = TenancyKeeper(None, None)
    await keeper.open()
    assert keeper.known("Bearer x") is ANYONE
    assert await keeper.principal_of(None) is ANYONE
    with pytest.raises(Refused, match="FLUX_AUTH_ENABLED"):
        await keeper.change("acme", lambda _: register("acme", Visibility.PUBLIC, 1)[0])


async def test_two_authorization_headers_are_none(tenants):
    async with client_of(tenants) as client:
        headers = [("Authorization", f"Bearer {tenants.tokens['main']}")] * 2
        answer = await client.post("/api/events", json=event("vault/x", {"v": 1}), headers=headers)
    assert answer.status_code == 401


async def test_a_token_that_was_made_at_another_door_is_good_at_once(tenants, keeper):
    token = new_token()
    await tenants.change("vault", lambda namespace: namespace.rotated(token, 1))
    assert keeper.known(f"Bearer {token.text}") is UNKNOWN
    assert (await keeper.principal_of(f"Bearer {token.text}")).namespace == "vault"
    assert await keeper.principal_of(f"Bearer {tenants.tokens['main']}") is UNKNOWN


async def test_what_other_doors_do_is_followed(tenants, monkeypatch):
    monkeypatch.setattr(limits, "tenancy_poll_s", 0.001)
    other_door = TenancyKeeper(tenants.standing.tenants, None)
    await other_door.open()
    header = f"Bearer {tenants.tokens['write']}"
    assert other_door.known(header).namespace == "vault"
    tenants.standing.tenants.away = True
    await asyncio.sleep(0.003)
    tenants.standing.tenants.away = False
    await tenants.revoke("write")
    await until(lambda: other_door.known(header) is UNKNOWN)
    await other_door.close()


async def test_a_door_that_has_not_heard_of_the_store_lately_trusts_no_token(tenants, keeper, monkeypatch):
    monkeypatch.setattr(limits, "tenancy_fresh_s", -1)
    header = f"Bearer {tenants.tokens['write']}"
    assert (await keeper.principal_of(header)).namespace == "vault"
    await tenants.revoke("write")
    assert await keeper.principal_of(header) is UNKNOWN
    tenants.standing.tenants.away = True
    with pytest.raises(Unavailable):
        await keeper.principal_of(f"Bearer {tenants.tokens['main']}")
    assert await keeper.principal_of(None) is NOBODY  # reads that need no token go on


async def test_a_change_that_somebody_else_overtakes_is_made_of_what_is_there_then(tenants, keeper):
    seen = []

    async def overtaken():
        await keeper.change("vault", lambda namespace: seen.append(namespace) or namespace)

    put, store = tenants.standing.tenants.put, tenants.standing.tenants

    async def late(key, value, expected=None):
        store.put = put
        await tenants.revoke("write")
        return await put(key, value, expected)

    store.put = late
    await overtaken()
    assert len(seen) == 2
    assert len(seen[1].tokens) == len(seen[0].tokens) - 1


async def test_a_veil_covers_what_is_hidden_and_not_ones_own(keeper, tenants):
    def veil(kind, prefix=""):
        return keeper.veil(keeper.known(tenants.headers(kind).get("Authorization")), prefix)

    assert veil("none") == veil("other") == veil("admin") == veil("expired") == Veil(frozenset({"vault"}))
    assert veil("main").namespaces == veil("read").namespaces == frozenset()
    assert veil("prefix") == Veil(frozenset({"vault"}), "vault/kitchen/")
    assert veil("none", "acme/") == veil("none", "w") == NO_VEIL
    assert veil("none", "va") == veil("none", "vault/k") == Veil(frozenset({"vault"}))


async def test_guessing_tokens_makes_few_looks_into_the_store(tenants, keeper, monkeypatch):
    asked = []
    changes = tenants.standing.tenants.changes

    async def counted(after):
        asked.append(after)
        return await changes(after)

    monkeypatch.setattr(tenants.standing.tenants, "changes", counted)
    monkeypatch.setattr(limits, "tenancy_look_s", 0.02)
    found = await asyncio.gather(*(keeper.principal_of(f"Bearer {new_token().text}") for _ in range(200)))
    assert set(found) == {UNKNOWN}
    assert len(asked) <= 3


async def test_a_list_that_is_under_way_ends_when_its_token_does(tenants, monkeypatch):
    monkeypatch.setattr(limits, "page_first_bytes", 100)
    monkeypatch.setattr(limits, "page_bytes", 100)
    door = tenants.standing.door
    await tenants.standing.publish(*(event(f"vault/{n:03}", {"v": n}) for n in range(60)))
    principal = door.tenancy.known(tenants.headers("read")["Authorization"])
    listing = Listing(door, "vault", "", principal)
    runs = listing.runs()
    assert await anext(runs)
    await tenants.revoke("read")
    await door.tenancy.read()
    with pytest.raises(Unavailable, match="revoked"):
        async for _ in runs:
            pass


async def test_a_list_of_all_that_is_under_way_shows_nothing_that_is_hidden_since(tenants, monkeypatch):
    monkeypatch.setattr(limits, "page_first_bytes", 100)
    monkeypatch.setattr(limits, "page_bytes", 100)
    door = tenants.standing.door
    await tenants.standing.publish(*(event(f"zoo/{n:03}", {"v": n}) for n in range(60)))
    listing = Listing(door, None, "", NOBODY)
    runs = listing.runs()
    assert await anext(runs)
    namespace, _ = register("zoo", Visibility.PRIVATE, 1)
    await door.tenancy.change("zoo", lambda _: namespace)
    rest = b"".join([run async for run in runs])
    assert b"zoo/059" not in rest


async def test_a_door_that_does_not_hear_the_store_fetches_nothing_and_serves_what_it_has(
    tenants, monkeypatch
):
    async with client_of(tenants) as client:
        assert (await client.get("/api/state/entities/acme/x")).status_code == 200
        monkeypatch.setattr(limits, "tenancy_fresh_s", -1)
        tenants.standing.tenants.away = True
        assert (await client.get("/api/state/entities/acme/x")).status_code == 200
        for path in (
            "/api/state/entities/acme/never-asked-for",
            "/api/state/entities",
            "/api/state/entities?count=true",
            "/api/events?entity=acme/x",
        ):
            assert (await client.get(path)).status_code == 503, path
        body = {"ids": ["vault/x"]}
        assert (await client.post("/api/state/entities/get", json=body)).status_code == 503


async def test_a_hidden_name_is_refused_what_any_name_is(tenants):
    async with client_of(tenants) as client:
        for query in ("since=yesterday", "limit=x", "at_least=nonsense"):
            answers = [
                await client.get(f"/api/events?entity={name}/x&{query}") for name in ("vault", "never")
            ]
            assert answers[0].status_code == answers[1].status_code == 400
            assert answers[0].content == answers[1].content


async def test_a_large_batch_under_way_stops_when_its_token_is_revoked(tenants):
    door = tenants.standing.door
    principal = door.tenancy.known(tenants.headers("write")["Authorization"])
    await tenants.revoke("write")
    await door.tenancy.read()
    submission = await door.publisher.publish_all([event("vault/x", {"v": 1})] * 2, principal)
    assert [error.status for error in submission.events] == [401, 401]
    submission = await door.publisher.delete_all(["vault/x"], principal)
    assert [error.status for error in submission.events] == [401]


async def test_an_odd_header_costs_no_look_into_the_store(tenants, keeper):
    tenants.standing.tenants.away = True
    main = tenants.tokens["main"]
    for header in ("Basic abc", "Bearer x", "Bearer", main, f"Bearer {main}x"):
        assert await keeper.principal_of(header) is UNKNOWN


async def test_tenants_that_are_gone_are_no_reason_to_open_what_was_private():
    registry, tenants = MemoryKeyValue(), MemoryKeyValue()
    await registry.put("log", b'{"log_id":"l","partitions":4}')
    await check_begun(registry, tenants)
    await check_begun(registry, tenants)
    with pytest.raises(Corrupt, match="flux_tenancy"):
        await check_begun(registry, MemoryKeyValue())
    other = MemoryKeyValue()
    await other.put("tenancy", b"another log's")
    with pytest.raises(Corrupt, match="flux_tenancy"):
        await check_begun(registry, other)
