"""Tokens on sockets: who is told of what, and what a token is good for while it is."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_api.watcher import Watcher
from tests.unit.api.sockets import CLIENTS, FakeLink, RawClient
from tests.unit.api.standing import change, event, until


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


async def test_what_a_token_tied_to_a_socket_ends_when_the_token_is_taken_back(socket, tenants, monkeypatch):
    monkeypatch.setattr(limits, "presence_ttl_ms", 1_500)
    monkeypatch.setattr(limits, "presence_renew_s", 0.05)
    await authenticate(socket, tenants, "write")
    socket.say(type="publish", id=1, presence=True, **event("vault/me", {"here": True}))
    await until(lambda: socket.kinds("ack"))
    view = tenants.standing.door.view
    async with asyncio.timeout(5):
        while not (await view.get("vault/me")).lives:  # noqa: ASYNC110 - it is being applied
            await asyncio.sleep(0)
    await tenants.revoke("write")
    await until(lambda: [one for one in socket.kinds("error") if one.get("entity_id") == "vault/me"])
    async with asyncio.timeout(5):
        while (await view.get("vault/me")).lives:  # noqa: ASYNC110 - time has to pass
            await asyncio.sleep(0.005)
