"""The tenants of a door: what other doors do is in force here within a second, or nothing is trusted."""

from __future__ import annotations

import asyncio
import json

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
from flux_api.watcher import Watcher
from tests.unit.api.hot.two_ways import TwoWays, alike
from tests.unit.api.sockets import CLIENTS, FakeLink, RawClient
from tests.unit.api.standing import Standing, change, event, until
from tests.unit.api.tenants import ADMIN_TOKEN, Tenants


@pytest.fixture
async def tenants(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True, admin_token=ADMIN_TOKEN)
    yield await Tenants.settle(standing)
    await standing.down()


@pytest.fixture
def keeper(tenants):
    return tenants.standing.door.tenancy


def client_of(tenants):
    app = build_app(tenants.standing.door.settings, tenants.standing.door)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux")


def post(tenants, kind, entity_id="vault/x", path="/api/events", body=None):
    text = json.dumps(body or event(entity_id, {"v": 1})).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(text)}"]
    head += [f"{name}: {value}" for name, value in tenants.headers(kind).items()]
    return "\r\n".join([*head, "", ""]).encode() + text


def get(tenants, kind, entity_id="vault/x"):
    headers = [f"{name}: {value}" for name, value in tenants.headers(kind).items()]
    return "\r\n".join(
        [f"GET /api/state/entities/{entity_id} HTTP/1.1", "Host: x", *headers, "", ""]
    ).encode()


def status(answer):
    return int(answer.split(b" ", 2)[1])


# -- who is it --------------------------------------------------------------------------------------


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


# -- the hot way ------------------------------------------------------------------------------------


async def test_both_ways_answer_every_client_alike(tenants):
    ways = TwoWays(tenants.standing)
    bodies = [event("vault/x", {"v": 1}), event("vault/kitchen/x", {"v": 1}), event("acme/x", {"v": 1})]
    bodies += [event("lonely", {"v": 1}), event(None), event("flux-core/x", {"v": 1})]
    hot = 0
    for kind in tenants.kinds:
        requests = [post(tenants, kind, body=body) for body in bodies]
        requests.append(post(tenants, kind, path="/api/events/batch", body=bodies))
        ids = {"ids": ["vault/x", "vault/kitchen/x", "acme/x"]}
        requests.append(post(tenants, kind, path="/api/state/entities/get", body=ids))
        requests += [get(tenants, kind, i) for i in ("vault/x", "vault/kitchen/x", "acme/x", "vault/none")]
        for request in requests:
            expected = alike(await ways.plain_way().send(request))
            connection = ways.hot_way()
            before = ways.hot.answered_hot
            for _ in range(3):
                assert alike(await connection.send(request)) == expected, request
            hot += ways.hot.answered_hot - before
    assert hot > 100


async def test_the_same_bytes_mean_something_else_after_a_token_was_revoked_or_made(tenants):
    ways = TwoWays(tenants.standing)
    connection = ways.hot_way()
    write, read = post(tenants, "write"), get(tenants, "write")
    assert [status(await connection.send(request)) for request in (write, write, read, read)] == [200] * 4
    assert ways.hot.answered_hot == 2  # the second of each
    await tenants.revoke("write")
    await tenants.standing.door.tenancy.read()
    for request, expected in ((write, 401), (read, 404)):
        assert status(await connection.send(request)) == expected
        assert status(await ways.plain_way().send(request)) == expected


async def test_a_token_revoked_while_the_body_comes_in_is_not_good_any_more(tenants):
    ways = TwoWays(tenants.standing)
    connection = ways.hot_way()
    request = post(tenants, "write")
    assert status(await connection.send(request)) == 200
    connection.protocol.data_received(request[:-5])
    await tenants.revoke("write")
    await tenants.standing.door.tenancy.read()
    assert status(await connection.send(request[-5:])) == 401


async def test_the_hot_way_trusts_no_token_when_the_store_was_not_heard(tenants, monkeypatch):
    ways = TwoWays(tenants.standing)
    connection = ways.hot_way()
    write, read = post(tenants, "write"), get(tenants, "write")
    assert [status(await connection.send(request)) for request in (write, read)] == [200] * 2
    await tenants.revoke("write")
    monkeypatch.setattr(limits, "tenancy_fresh_s", -1)
    assert [status(await connection.send(request)) for request in (write, read)] == [401, 404]


async def test_an_entity_is_not_answered_from_memory_once_its_namespace_is_hidden(tenants):
    ways = TwoWays(tenants.standing)
    connection = ways.hot_way()
    request = get(tenants, "none", "vivid/x")
    await tenants.standing.publish(event("vivid/x", {"v": 1}))
    assert [status(await connection.send(request)) for _ in range(3)] == [200] * 3
    namespace, _ = register("vivid", Visibility.PRIVATE, 1)
    await tenants.standing.door.tenancy.change("vivid", lambda _: namespace)
    assert status(await connection.send(request)) == 404


# -- sockets ----------------------------------------------------------------------------------------


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS)
async def socket(request, tenants):
    socket = request.param(tenants.standing)
    await until(lambda: tenants.standing.door.hub.watchers)
    yield socket
    await socket.close()


async def authenticate(socket, tenants, kind):
    socket.say(type="auth", id="a", token=tenants.tokens[kind])
    await until(lambda: socket.received)
    return socket.received.pop()


async def told(socket, tenants, pattern, *events):
    """Return the entities that a socket with this subscription is told of."""
    socket.say(type="subscribe", entity_id=pattern, id="s")
    await until(lambda: socket.kinds("subscribed"))
    socket.received.clear()
    await tenants.standing.publish(*events, event("acme/end", {"v": 1}))
    socket.say(type="get", id="g", entity_id="acme/end")
    await until(lambda: socket.kinds("entity"))
    return [message["entity_id"] for message in socket.kinds("state_update")]


EVENTS = [event(i, {"v": 1}) for i in ("vault/x", "acme/x", "vault/kitchen/x")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("main", ["vault/x", "acme/x", "vault/kitchen/x", "acme/end"]),
        ("read", ["vault/x", "acme/x", "vault/kitchen/x", "acme/end"]),
        ("prefix", ["acme/x", "vault/kitchen/x", "acme/end"]),
        ("other", ["acme/x", "acme/end"]),
        ("manage", ["acme/x", "acme/end"]),
        ("admin", ["acme/x", "acme/end"]),
        (None, ["acme/x", "acme/end"]),
    ],
)
async def test_a_socket_is_told_of_hidden_entities_only_when_it_may_read_them(
    socket, tenants, kind, expected
):
    if kind is not None:
        assert await authenticate(socket, tenants, kind) == {"type": "authenticated", "id": "a"}
    found = await told(socket, tenants, "*", *EVENTS)
    assert sorted(found) == sorted(expected)  # hidden ones are written at once, others in one piece


async def test_patterns_count_for_hidden_entities_too(socket, tenants):
    await authenticate(socket, tenants, "main")
    assert await told(socket, tenants, "vault/kitchen/*", *EVENTS) == ["vault/kitchen/x"]


async def test_a_stranger_who_names_a_hidden_entity_is_told_nothing(socket, tenants):
    assert await told(socket, tenants, "vault/x", *EVENTS) == []
    socket.say(type="get", id=1, entity_id="vault/x")
    await until(lambda: len(socket.kinds("entity")) == 2)
    assert socket.kinds("entity")[1] == {"type": "entity", "id": 1, "entity": None}


async def test_an_unknown_token_is_refused_and_the_socket_stays_what_it_was(socket, tenants):
    for kind in ("wrong", "expired"):
        assert (await authenticate(socket, tenants, kind))["type"] == "error"
    for token in (None, 5, ""):
        socket.received.clear()
        socket.say(type="auth", token=token)
        await until(lambda: socket.kinds("error"))
    assert "vault/x" not in await told(socket, tenants, "*", *EVENTS)


async def test_what_is_said_behind_a_token_is_done_with_it(socket, tenants):
    socket.say(type="auth", token=tenants.tokens["write"])
    socket.say(type="publish", id=1, **event("vault/x", {"v": 7}))
    socket.say(type="publish", id=2, **event("acme/x", {"v": 7}))
    await until(lambda: socket.kinds("ack") and socket.kinds("error"))
    assert socket.kinds("ack")[0]["id"] == 1
    assert socket.kinds("error")[0]["id"] == 2


async def test_a_revoked_token_ends_at_the_socket_too_and_it_is_told(socket, tenants):
    await authenticate(socket, tenants, "write")
    await tenants.revoke("write")
    await tenants.standing.door.tenancy.read()
    await until(lambda: socket.kinds("error"))
    assert "revoked" in socket.kinds("error")[0]["error"]
    socket.received.clear()
    socket.say(type="publish", id=1, **event("vault/x", {"v": 7}))
    await until(lambda: socket.kinds("error"))
    assert "unknown, revoked or expired" in socket.kinds("error")[0]["error"]
    assert "vault/x" not in await told(socket, tenants, "*", *EVENTS)


async def test_a_socket_writes_nothing_while_tokens_cannot_be_checked(socket, tenants, monkeypatch):
    await authenticate(socket, tenants, "write")
    monkeypatch.setattr(limits, "tenancy_fresh_s", -1)
    socket.say(type="publish", id=1, **event("vault/x", {"v": 7}))
    await until(lambda: socket.kinds("error"))
    assert "try again" in socket.kinds("error")[0]["error"]


@pytest.mark.parametrize("name", ["Authorization", "Sec-WebSocket-Protocol"])
@pytest.mark.parametrize(("kind", "expected"), [("main", 101), ("expired", 401), ("wrong", 401)])
async def test_a_socket_is_opened_with_a_token_by_header_or_subprotocol(tenants, name, kind, expected):
    token = tenants.tokens[kind]
    value = f"Bearer {token}" if name == "Authorization" else f"flux, flux.bearer.{token}"
    socket = RawClient(tenants.standing, headers={name: value})
    await until(lambda: socket.response is not None)
    assert socket.response.status_code == expected
    if expected == 101:
        assert token not in str(socket.response.headers.get("Sec-WebSocket-Protocol"))
        assert ("vault/x" in await told(socket, tenants, "*", *EVENTS)) == (kind == "main")
    await socket.close()


async def test_a_socket_with_two_tokens_is_refused(tenants):
    value = f"flux.bearer.{tenants.tokens['main']}"
    socket = RawClient(
        tenants.standing,
        headers={"Authorization": f"Bearer {tenants.tokens['main']}", "Sec-WebSocket-Protocol": value},
    )
    await until(lambda: socket.response is not None)
    assert socket.response.status_code == 400
    await socket.close()


async def test_a_slow_socket_is_owed_only_what_it_may_read(tenants, monkeypatch):
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 1_000)
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 1_000)
    stranger, holder = RawClient(tenants.standing), RawClient(tenants.standing)
    await until(lambda: len(tenants.standing.door.hub.watchers) == 2)
    await authenticate(holder, tenants, "main")
    for socket in (stranger, holder):
        socket.stop_reading()
    text = "x" * 40_000
    for number in range(6):
        await tenants.standing.publish(event("acme/x", {"v": number, "t": text}))
    await tenants.standing.publish(event("vault/x", {"v": "hidden"}), event("acme/y", {"v": "last"}))
    for socket in (stranger, holder):
        socket.read_again()
        await until(lambda: any(m.get("value") == "last" for m in socket.received))  # noqa: B023
    assert "vault/x" in {m.get("entity_id") for m in holder.received}
    assert "vault/x" not in {m.get("entity_id") for m in stranger.received}
    for socket in (stranger, holder):
        await socket.close()


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


# -- what was known a moment ago --------------------------------------------------------------------


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


async def test_sockets_of_one_token_are_told_in_one_write_and_others_cost_nothing(tenants, monkeypatch):
    hub = tenants.standing.door.hub
    holder = tenants.standing.door.tenancy.known(tenants.headers("main")["Authorization"])
    asked = []
    monkeypatch.setattr("flux_api.hub.may_read", lambda *given: asked.append(given) or True)
    watchers = []
    for pattern in ["vault/*"] * 5 + ["acme/*"] * 5:
        watcher = Watcher(FakeLink())
        hub.join(watcher)
        hub.identify(watcher, holder)
        hub.subscribe(watcher, pattern)
        watchers.append(watcher)
    hub.dispatch([change(f"vault/{n}", {"v": n}, n + 1) for n in range(20)])
    assert [len(watcher.link.written) for watcher in watchers] == [1] * 5 + [0] * 5
    assert [m["value"] for m in watchers[0].link.take()] == list(range(20))
    assert len(asked) == 20  # once for each change, not for each socket
    for watcher in watchers:
        hub.leave(watcher)


# -- a store that was lost --------------------------------------------------------------------------


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
