"""Faults are for those who may read the entity that failed: every way in, asked by every kind of client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from flux_actors.domain.acting.faults import FAULTS_PREFIX, fault_id
from flux_actors.domain.event import server_event
from flux_actors.shard.reads import NO_VEIL, Veil
from flux_actors.tenancy.principal import ANYONE
from flux_api.app import build_app
from flux_api.counts import fault_count
from tests.unit.api.event_streams import StreamClient
from tests.unit.api.hot.two_ways import TwoWays, alike
from tests.unit.api.sockets import CLIENTS
from tests.unit.api.standing import Standing, event, until
from tests.unit.api.tenants import Tenants

LIST = "/api/state/entities"
LONG = "vault/kitchen/" + "x" * 495
OPEN = [fault_id("acme/x"), fault_id("lonely")]
KITCHEN = [fault_id("vault/kitchen/x")]
VAULT = [*KITCHEN, fault_id(LONG), fault_id("vault/x")]
ALL = sorted([*OPEN, *VAULT])
KINDS = ("none", "wrong", "admin", "other", "main", "read", "write", "manage", "prefix", "expired")


def seen(kind: str) -> list[str]:
    """The faults that each kind of client may see; the end of a long one's id is no place below a prefix."""
    if kind in {"main", "read", "write"}:
        return ALL
    return sorted([*OPEN, *(KITCHEN if kind == "prefix" else [])])


async def fail(standing: Standing, *ids: str, count: int = 1) -> None:
    """Mark faults as a shard does."""
    for entity_id in ids:
        fault = server_event(entity_id, {"count": count}, f"{entity_id}{count}", 1, "flux-behaviours", "f")
        published = await standing.door.publisher.publish_own(fault)
        partition = standing.door.partitioning.of_entity(entity_id)
        await standing.door.reached({partition: published.position}, (partition,))


@pytest.fixture
async def faulty(tenants: Tenants) -> Tenants:
    await fail(tenants.standing, *ALL)
    return tenants


@pytest.fixture
async def http(faulty: Tenants):
    door = faulty.standing.door
    transport = httpx.ASGITransport(build_app(door.settings, door))
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as http:
        yield http


def ids_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    return [entity["id"] for entity in answer.json()]


@pytest.mark.parametrize("kind", KINDS)
async def test_reading_one_now_and_as_it_was(faulty: Tenants, http: httpx.AsyncClient, kind: str) -> None:
    headers, at = faulty.headers(kind), await end_of(faulty, http)
    for entity_id in ALL:
        shown = entity_id in seen(kind)
        for method in ("GET", "HEAD"):
            answer = await http.request(method, f"{LIST}/{entity_id}", headers=headers)
            assert (answer.status_code == 200) == shown, entity_id
        then = await http.get(f"{LIST}/{entity_id}?at={at}", headers=headers)
        assert (then.status_code == 200) == shown, entity_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("query", "beginning"),
    [
        ("prefix=flux-core/", "flux-core/"),
        ("namespace=flux-core", "flux-core/"),
        ("prefix=flux-core/faults/", FAULTS_PREFIX),
        ("prefix=fl", "fl"),
        ("prefix=flux-core/faults/vault/", f"{FAULTS_PREFIX}vault/"),
        ("prefix=flux-core/faults/vault/kitchen/", f"{FAULTS_PREFIX}vault/kitchen/"),
        ("prefix=flux-core/faults/va", f"{FAULTS_PREFIX}va"),
        ("prefix=flux-core/faults/acme/", f"{FAULTS_PREFIX}acme/"),
        ("prefix=flux-core/faults/vault/x&where=count>0", f"{FAULTS_PREFIX}vault/x"),
    ],
)
async def test_listing_and_counting(
    faulty: Tenants, http: httpx.AsyncClient, kind: str, query: str, beginning: str
) -> None:
    headers = faulty.headers(kind)
    expected = [entity_id for entity_id in seen(kind) if entity_id.startswith(beginning)]
    assert ids_of(await http.get(f"{LIST}?{query}", headers=headers)) == expected
    count = await http.get(f"{LIST}?{query}&count=true", headers=headers)
    assert count.json() == {"count": len(expected)}
    page = await http.get(f"{LIST}?{query}&limit=1", headers=headers)
    assert [entity["id"] for entity in page.json()] == expected[:1]


@pytest.mark.parametrize("kind", KINDS)
async def test_listing_and_counting_everything(faulty: Tenants, http: httpx.AsyncClient, kind: str) -> None:
    headers = faulty.headers(kind)
    ids = ids_of(await http.get(LIST, headers=headers))
    assert [entity_id for entity_id in ids if entity_id.startswith(FAULTS_PREFIX)] == seen(kind)
    assert (await http.get(f"{LIST}?count=true", headers=headers)).json() == {"count": len(ids)}
    assert (await http.head(LIST, headers=headers)).headers["Flux-Count"] == str(len(ids))


@pytest.mark.parametrize("kind", KINDS)
async def test_listing_as_it_was(faulty: Tenants, http: httpx.AsyncClient, kind: str) -> None:
    at = await end_of(faulty, http)
    await fail(faulty.standing, *ALL, count=2)
    for beginning in (FAULTS_PREFIX, f"{FAULTS_PREFIX}vault/", "flux-core/"):
        expected = [entity_id for entity_id in seen(kind) if entity_id.startswith(beginning)]
        query = f"{LIST}?prefix={beginning}&at={at}"
        then = await http.get(query, headers=faulty.headers(kind))
        assert ids_of(then) == expected
        assert [entity["properties"]["count"] for entity in then.json()] == [1] * len(expected)
        count = await http.get(f"{query}&count=true", headers=faulty.headers(kind))
        assert count.json() == {"count": len(expected)}


async def end_of(faulty: Tenants, http: httpx.AsyncClient) -> str:
    """Return the position of the last fault."""
    answer = await http.get(f"{LIST}/{ALL[-1]}", headers=faulty.headers("main"))
    return answer.headers["ETag"].strip('"')


@pytest.mark.parametrize("kind", KINDS)
async def test_reading_many(faulty: Tenants, http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post(f"{LIST}/get", json={"ids": ALL}, headers=faulty.headers(kind))
    assert [entity["id"] for entity in answer.json()["entities"]] == seen(kind)
    assert sorted(answer.json()["missing"]) == sorted(set(ALL) - set(seen(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_reading_its_history(faulty: Tenants, http: httpx.AsyncClient, kind: str) -> None:
    for entity_id in ALL:
        query = f"/api/events?entity={entity_id}&since=1970-01-01T00:00:00Z"
        answer = await http.get(query, headers=faulty.headers(kind))
        found = answer.json() if answer.status_code == 200 else []
        assert (len(found) == 1) == (entity_id in seen(kind)), entity_id


@pytest.mark.parametrize("kind", KINDS)
async def test_the_hot_way_answers_as_the_plain_one(faulty: Tenants, kind: str) -> None:
    ways = TwoWays(faulty.standing)
    headers = "".join(f"{name}: {value}\r\n" for name, value in faulty.headers(kind).items())
    for entity_id in ALL:
        request = f"GET {LIST}/{entity_id} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()
        expected = alike(await ways.plain_way().send(request))
        connection = ways.hot_way()
        for _ in range(3):
            assert alike(await connection.send(request)) == expected
        assert (b" 200 " in expected.split(b"\r\n", 1)[0]) == (entity_id in seen(kind))


WATCHED = ["*", "flux-core/*", "flux-core/faults/*", "flux-core/faults/vault/*", *VAULT[:1]]


@pytest.mark.parametrize("pattern", WATCHED)
@pytest.mark.parametrize("kind", ["none", "other", "admin", "main", "read", "manage", "prefix"])
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_watching_on_a_socket(faulty: Tenants, client: Any, kind: str, pattern: str) -> None:
    standing = faulty.standing
    socket = client(standing)
    await until(lambda: standing.door.hub.watchers)
    if kind != "none":
        socket.say(type="auth", id="a", token=faulty.tokens[kind])
        await until(lambda: socket.received)
    socket.say(type="subscribe", entity_id=pattern, id="s")
    await until(lambda: socket.kinds("subscribed"))
    socket.received.clear()
    await fail(standing, *ALL, count=2)
    socket.say(type="get", id="g", entity_id="acme/x")
    await until(lambda: socket.kinds("entity"))
    told = {message["entity_id"] for message in socket.kinds("state_update")}
    beginning = pattern.removesuffix("*")
    assert told & set(ALL) == {entity_id for entity_id in seen(kind) if entity_id.startswith(beginning)}
    socket.say(type="get", id="h", entity_id=VAULT[0])
    await until(lambda: len(socket.kinds("entity")) == 2)
    assert (socket.kinds("entity")[1]["entity"] is not None) == (VAULT[0] in seen(kind))
    await socket.close()


@pytest.mark.parametrize("kind", ["none", "other", "admin", "main", "read", "manage", "prefix"])
async def test_streaming_what_is_and_what_comes(faulty: Tenants, kind: str) -> None:
    standing = faulty.standing
    query = {"prefix": "flux-core/", "initial": "true", "delta": "true"}
    stream = await StreamClient(standing, query, faulty.headers(kind)).begun()
    await until(lambda: stream.source.last_id)
    found = {m["entity"]["id"] for m in stream.messages() if "entity" in m}
    assert found & set(ALL) == set(seen(kind))
    before = len(stream.events)
    await fail(standing, *ALL, count=2)
    await until(lambda: OPEN[0] in json.dumps([one.message for one in stream.events[before:]]))
    await until(lambda: OPEN[1] in json.dumps([one.message for one in stream.events[before:]]))
    told = json.dumps([one.message for one in stream.events[before:]])
    assert {entity_id for entity_id in ALL if f'"{entity_id}"' in told} <= set(seen(kind))
    await stream.close()


async def test_a_veil_over_faults(faulty: Tenants) -> None:
    keeper = faulty.standing.door.tenancy

    def veil(kind: str, prefix: str) -> Veil:
        return keeper.veil(keeper.known(faulty.headers(kind).get("Authorization")), prefix)

    vault = Veil(frozenset({"vault"}))
    for prefix in ("", "f", "flux-core/", FAULTS_PREFIX, f"{FAULTS_PREFIX}va", f"{FAULTS_PREFIX}vault/k"):
        assert veil("none", prefix) == vault
        assert veil("main", prefix) == NO_VEIL
        assert veil("prefix", prefix) == vault._replace(shown="vault/kitchen/")
    for prefix in ("flux-core/audit", f"{FAULTS_PREFIX}acme/", f"{FAULTS_PREFIX}w", "acme/"):
        assert veil("none", prefix) == NO_VEIL


async def test_totals_for_everybody_leave_faults_of_private_entities_out(faulty: Tenants) -> None:
    door = faulty.standing.door
    assert await fault_count(door.partitioning, door.shards, frozenset({"vault"})) == len(VAULT)
    assert await fault_count(door.partitioning, door.shards, frozenset({"acme"})) == 1
    assert await fault_count(door.partitioning, door.shards, frozenset()) == 0


async def test_clients_write_no_faults(faulty: Tenants, http: httpx.AsyncClient) -> None:
    body = event(VAULT[0], {"v": 1})
    assert (await http.post("/api/events", json=body, headers=faulty.headers("main"))).status_code == 403


@pytest.mark.parametrize("name", ["vault", "acme"])
async def test_the_next_owner_of_a_name_sees_no_faults_of_the_one_before(
    faulty: Tenants, http: httpx.AsyncClient, name: str
) -> None:
    admin, theirs = faulty.headers("admin"), [one for one in ALL if one.startswith(f"{FAULTS_PREFIX}{name}/")]
    assert (await http.delete(f"/api/namespaces/{name}", headers=admin)).status_code == 204
    made = await http.post("/api/namespaces", json={"name": name}, headers=admin)
    heir = {"Authorization": f"Bearer {made.json()['token']}"}
    shown = ids_of(await http.get(f"{LIST}?prefix={FAULTS_PREFIX}", headers=heir))
    assert shown == sorted(set(OPEN) - set(theirs))
    for entity_id in theirs:
        query = f"/api/events?entity={entity_id}&since=1970-01-01T00:00:00Z"
        assert (await http.get(query, headers=heir)).json() == []
    await fail(faulty.standing, theirs[0], count=3)
    assert (await http.get(f"{LIST}/{theirs[0]}", headers=heir)).json()["properties"] == {"count": 3}
    assert (await http.get(f"{LIST}/{theirs[0]}")).status_code == 200  # the name is a public one now


async def test_the_names_live_beside_the_faults_and_elsewhere(faulty: Tenants) -> None:
    rule = faulty.standing.door.partitioning
    assert len({rule.of_namespace(name) for name in ("vault", "acme")}) == 2


async def test_with_tokens_off_everybody_sees_all(standing: Standing) -> None:
    await fail(standing, *ALL)
    assert standing.door.tenancy.veil(ANYONE, FAULTS_PREFIX) == NO_VEIL
    assert all(standing.door.tenancy.may_read(ANYONE, entity_id) for entity_id in ALL)
