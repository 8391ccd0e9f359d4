"""Tokens on the hot way: it answers every client as FastAPI does, before and after a change."""

from __future__ import annotations

import json

from flux_actors import limits
from flux_actors.tenancy.namespace import Visibility, register
from tests.unit.api.hot.two_ways import TwoWays, alike
from tests.unit.api.standing import event


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
