"""The rate limit on every way in: what counts, what is told, and that the refused leave no trace."""

from __future__ import annotations

import asyncio
import json

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.tenancy.namespace import Visibility, register
from flux_actors.tenancy.principal import ANYONE
from flux_api.slow_refusals import SlowRefusals
from tests.unit.api.hot.two_ways import TwoWays, alike
from tests.unit.api.sockets import CLIENTS
from tests.unit.api.standing import Standing, event, outcomes_of, settle, until

LIMIT = 5
DELETE = "/api/state/entities/delete"


@pytest.fixture
async def standing(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(
        read_wait_ms=5_000, clock=lambda: 0.0, auth_enabled=True, admin_token="admin"
    )
    await reconfigure(standing, {"rate_limit_per_namespace_per_minute": LIMIT})
    yield standing
    await standing.down()


class Unheard:
    """An audit that leaves the log as it is."""

    async def record(self, who, what, details):
        """Keep nothing."""


async def reconfigure(standing, changes):
    await standing.door.config.change(changes, "test", Unheard())


@pytest.fixture
def tenants(standing):
    """The tokens of two namespaces."""
    return {name: tenant(standing, name) for name in ("home", "shop")}


def tenant(standing, name):
    namespace, token = register(name, Visibility.PUBLIC, 0)
    standing.door.tenancy.registry.apply(namespace)
    return token.text


def principal(standing, token):
    return standing.door.tenancy.known(f"Bearer {token}")


async def test_an_atomic_batch_passes_whole_or_not_at_all(standing, tenants, client):
    headers = {"Authorization": f"Bearer {tenants['home']}"}
    path = "/api/events/batch?atomic=true&wait=applied"

    async def send(count, first):
        bodies = [event(f"home/{first + number}", {"v": 1}) for number in range(count)]
        return (await client.post(path, json=bodies, headers=headers)).json()

    assert (await send(LIMIT - 2, 0))["successful"] == LIMIT - 2
    refused = await send(LIMIT - 2, 10)
    assert (refused["successful"], refused["failed"]) == (0, LIMIT - 2)
    assert all("minute" in result["error"] for result in refused["results"])
    assert (await send(2, 20))["successful"] == 2
    listed = (await client.get("/api/state/entities?namespace=home")).json()
    assert len(listed) == LIMIT


@pytest.fixture
async def publish(standing, tenants):
    """Publish one event of a namespace; return its status."""
    publisher = standing.door.publisher

    async def publish(namespace="home", **fields):
        holder = principal(standing, tenants[namespace])
        try:
            await publisher.publish(event(f"{namespace}/e", {"v": 1}, **fields), holder)
        except Refused as refusal:
            return refusal.status
        return 200

    return publish


async def events_in_log(standing):
    total = 0
    for committer in standing.door.publisher.committers:
        total += committer.events_total
    return total


async def test_a_namespace_publishes_its_limit_and_no_more_and_another_its_own(standing, publish):
    assert [await publish() for _ in range(7)] == [200] * 5 + [429] * 2
    assert [await publish("shop") for _ in range(6)] == [200] * 5 + [429]
    assert await events_in_log(standing) == 10


async def test_what_is_refused_for_another_reason_does_not_count(standing, tenants, publish):
    assert [await publish(stream="Not a stream") for _ in range(9)] == [400] * 9
    holder = principal(standing, tenants["home"])
    for _ in range(9):
        with pytest.raises(Refused) as caught:
            await standing.door.publisher.publish(event("shop/e", {"v": 1}), holder)
        assert caught.value.status == 403
        with pytest.raises(Refused, match="64 bits"):
            await standing.door.publisher.publish(event("home/e", {"v": 2**64}), holder)
    assert [await publish() for _ in range(6)] == [200] * 5 + [429]


async def test_the_refusal_says_which_limit_and_how_long(standing, tenants, publish):
    for _ in range(5):
        await publish()
    with pytest.raises(Refused) as caught:
        await standing.door.publisher.publish(event("home/e", {"v": 1}), principal(standing, tenants["home"]))
    seconds = caught.value.headers["Retry-After"]
    assert 11 <= int(seconds) <= 12
    assert caught.value.message == (
        f"namespace home has used up its 5 events per minute; try again in {seconds} s"
    )


async def test_of_a_batch_the_first_ones_pass_and_bad_ones_do_not_count(standing, tenants):
    holder = principal(standing, tenants["home"])
    bodies = [event("home/a", {"v": number}) for number in range(7)]
    bodies[1] = 5
    bodies[3] = event("shop/a", {"v": 1})
    bodies += [event("home/b", {}), event("home/c", {})]
    outcomes = outcomes_of(await standing.door.publisher.publish_all(bodies, holder))
    told = [outcome.status if isinstance(outcome, Refused) else 200 for outcome in outcomes]
    assert told == [200, 400, 200, 403, 200, 200, 200, 429, 429]
    assert await events_in_log(standing) == 5
    outcomes = outcomes_of(await standing.door.publisher.publish_all(bodies, holder))
    assert not [outcome for outcome in outcomes if not isinstance(outcome, Refused)]


async def test_deletions_count(standing, tenants, publish):
    holder = principal(standing, tenants["home"])
    submission = await standing.door.publisher.delete_all([f"home/{n}" for n in range(7)], holder)
    told = [getattr(outcome, "status", 200) for outcome in submission.events]
    assert told == [200] * 5 + [429] * 2
    assert await publish() == 429


async def test_what_the_server_does_itself_does_not_count(standing, publish):
    submission = await standing.door.publisher.delete_all([f"home/{n}" for n in range(50)], ANYONE)
    assert not submission.failed
    assert await publish() == 200


async def test_what_the_log_does_not_take_does_not_count(standing, tenants, publish, monkeypatch):
    holder = principal(standing, tenants["home"])

    def full(*_, **__):
        raise Unavailable("full")

    for committer in standing.door.publisher.committers:
        monkeypatch.setattr(committer, "put", full)
    for _ in range(9):
        with pytest.raises(Unavailable):
            await standing.door.publisher.publish(event("home/e", {"v": 1}), holder)
        await standing.door.publisher.publish_all([event("home/e", {"v": 1})] * 3, holder)
    monkeypatch.undo()
    assert [await publish() for _ in range(6)] == [200] * 5 + [429]


async def test_events_keep_their_order_while_some_wait_for_a_lease(standing, tenants):
    await reconfigure(standing, {"rate_limit_per_namespace_per_minute": 600})
    holder, publisher = principal(standing, tenants["home"]), standing.door.publisher
    bodies = [event("home/e", {"v": number}) for number in range(100)]
    first = asyncio.ensure_future(publisher.publish_all(bodies, holder))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(publisher.publish(event("home/e", {"v": 100}), holder))
    await asyncio.gather(first, second)
    (last,) = first.result().positions().values()
    assert second.result().position > last


def post(path, value, token):
    body = json.dumps(value).encode()
    return (
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n"
        % (path.encode(), len(body), token.encode())
    ) + body


async def test_both_ways_answer_a_refusal_alike(standing, tenants):
    ways, token = TwoWays(standing), tenants["home"]
    hot = ways.hot_way()
    single = post("/api/events", event("home/e", {"v": 1}), token)
    batch = post("/api/events/batch", [event("home/e", {"v": 1}, eventId="mine")] * 2, token)
    for _ in range(6):
        last = await hot.send(single)
    assert last.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 1" in last.lower()
    before = ways.hot.answered_hot
    for request in (single, batch):
        first = await hot.send(request)
        assert alike(await ways.plain_way().send(request)) == alike(first) == alike(await hot.send(request))
    assert ways.hot.answered_hot > before


async def test_a_delete_is_429_and_many_tell_each(standing, tenants, client):
    headers = {"Authorization": f"Bearer {tenants['home']}"}
    for _ in range(5):
        assert (await client.delete("/api/state/entities/home/e", headers=headers)).status_code == 200
    answer = await client.delete("/api/state/entities/home/e", headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "12")
    answer = await client.post(DELETE, json={"entity_ids": ["home/a", "home/b"]}, headers=headers)
    assert answer.json() | {"errors": []} == {"deleted": 0, "failed": 2, "errors": []}
    assert all("5 events per minute" in text for text in answer.json()["errors"])


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_socket_is_told_with_the_id_of_its_event(standing, tenants, kind):
    client = CLIENTS[kind](standing)
    await until(lambda: standing.door.hub.watchers)
    client.say(type="auth", token=tenants["home"], id="auth")
    await until(lambda: client.kinds("authenticated"))
    for number in range(8):
        client.say(type="publish", id=number, **event("home/e", {"v": number}))
    await until(lambda: len(client.kinds("ack")) + len(client.kinds("error")) == 8)
    assert [ack["id"] for ack in client.kinds("ack")] == [0, 1, 2, 3, 4]
    assert [error["id"] for error in client.kinds("error")] == [5, 6, 7]
    assert "try again in 12 s" in client.kinds("error")[0]["error"]
    await client.close()


async def test_a_refusal_takes_its_time_and_nobody_else_s(standing, tenants, publish, monkeypatch):
    held = []
    monkeypatch.setattr(SlowRefusals, "later", lambda _, tell: held.append(tell))
    publisher = standing.door.publisher
    for _ in range(LIMIT):
        await publish()
    holder = principal(standing, tenants["home"])
    refused = [
        asyncio.ensure_future(publish()),
        asyncio.ensure_future(publisher.publish_all([event("home/e", {"v": 1})] * 3, holder)),
    ]
    assert await publish("shop") == 200
    await until(lambda: len(held) == 2)
    await settle()
    assert not any(one.done() for one in refused)
    for tell in held:
        tell()
    await asyncio.gather(*refused)
    assert refused[0].result() == 429
    assert [outcome.status for outcome in outcomes_of(refused[1].result())] == [429] * 3


async def test_switched_off_nobody_is_refused_and_a_change_is_in_force_at_once(standing, publish):
    for _ in range(6):
        last = await publish()
    assert last == 429
    await reconfigure(standing, {"rate_limit_enabled": False})
    assert [await publish() for _ in range(20)] == [200] * 20
    await reconfigure(standing, {"rate_limit_enabled": True, "rate_limit_per_namespace_per_minute": 8})
    await settle()
    assert [await publish("shop") for _ in range(9)] == [200] * 8 + [429]
