"""Presence: entities that live as long as the socket that tied them to itself."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from tests.unit.api.sockets import CLIENTS
from tests.unit.api.standing import event, until


@pytest.fixture(params=CLIENTS)
def connect(request):
    return CLIENTS[request.param]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(limits, "presence_ttl_ms", 1_500)
    monkeypatch.setattr(limits, "presence_renew_s", 0.05)


@pytest.fixture
async def sockets(standing, connect):
    """Open sockets, which are closed after the test."""
    opened = []

    async def open_socket():
        client = connect(standing)
        opened.append(client)
        await until(lambda: len(standing.door.hub.watchers) >= 1)
        return client

    yield open_socket
    for client in opened:
        await client.close()


async def arrive(client, entity_id="room/me", **more):
    acks = len(client.kinds("ack"))
    client.say(type="publish", id=acks, presence=True, **event(entity_id, {"here": True}, **more))
    await until(lambda: len(client.kinds("ack")) > acks)


@pytest.fixture
def there(client):
    async def there(entity_id="room/me"):
        return (await client.get(f"/api/state/entities/{entity_id}")).status_code == 200

    return there


async def until_there(there, entity_id="room/me"):
    async with asyncio.timeout(5):
        while not await there(entity_id):  # noqa: ASYNC110 - over HTTP there is no event
            await asyncio.sleep(0.005)


async def until_gone(there, entity_id="room/me"):
    async with asyncio.timeout(5):
        while await there(entity_id):  # noqa: ASYNC110 - over HTTP there is no event
            await asyncio.sleep(0.005)


async def test_it_is_there_as_long_as_the_socket(standing, sockets, there):
    socket = await sockets()
    await arrive(socket)
    await asyncio.sleep(2 * limits.presence_ttl_ms / 1_000)
    assert await there()
    await socket.close()
    began = asyncio.get_running_loop().time()
    await until_gone(there)
    assert asyncio.get_running_loop().time() - began < limits.presence_ttl_ms / 1_000


async def test_renewals_are_in_no_history(standing, sockets, there, client):
    await arrive(await sockets())
    await asyncio.sleep(0.2)
    assert await there()
    assert len((await client.get("/api/events", params={"entity": "room/me"})).json()) == 1


async def test_when_the_door_is_gone_it_ends_by_itself(standing, sockets, there):
    await arrive(await sockets())
    await until_there(there)
    await standing.door.presences.close()  # as if it had died: nobody renews, nobody says good-bye
    await until_gone(there)


async def test_who_publishes_it_with_another_socket_has_it_from_then_on(standing, sockets, there):
    first, second = await sockets(), await sockets()
    await arrive(first)
    await arrive(second)
    await first.close()
    await asyncio.sleep(0.1)
    assert await there()
    await second.close()
    await until_gone(there)


async def test_what_was_deleted_is_renewed_no_more(standing, sockets, there, client):
    await arrive(await sockets())
    await client.delete("/api/state/entities/room/me")
    await until(lambda: len(standing.door.presences) == 0)
    assert not await there()


async def test_a_socket_is_told_what_it_lost(standing, sockets, client):
    first, second = await sockets(), await sockets()
    await arrive(first, "room/taken")
    await arrive(first, "room/deleted")
    await arrive(first, "room/stays")
    await arrive(second, "room/taken")
    await client.delete("/api/state/entities/room/deleted")
    await until(lambda: len(first.kinds("error")) == 2)
    told = {error["entity_id"]: error["error"] for error in first.kinds("error")}
    assert told.keys() == {"room/taken", "room/deleted"}
    assert all("publish it with presence again" in error for error in told.values())
    assert second.kinds("error") == []
    assert len(standing.door.presences) == 2


async def test_a_socket_that_goes_before_the_ack_leaves_nothing(standing, sockets, there, client):
    async def happened():
        return [
            one["stream"] for one in (await client.get("/api/events", params={"entity": "room/me"})).json()
        ]

    socket = await sockets()
    socket.say(type="publish", presence=True, **event("room/me", {"here": True}))
    await until(lambda: any(one.taken_total for one in standing.door.publisher.committers))
    assert socket.kinds("ack") == []
    await socket.close()
    async with asyncio.timeout(5):
        while await happened() != ["flux.presence", "test"]:  # noqa: ASYNC110 - over HTTP there is no event
            await asyncio.sleep(0.005)
    assert not await there()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"presence": 1}, "must be true"),
        ({"presence": "yes"}, "must be true"),
        ({"presence": True, "payload": {"entity_id": "room/me"}}, "presence needs"),
        ({"presence": True, "payload": {"entity_id": "room/me", "properties": {}}}, "presence needs"),
        (
            {"presence": True, "payload": {"entity_id": "room/me", "properties": {"a": 1}, "ttl_ms": 5}},
            "not both",
        ),
    ],
)
async def test_presence_of_nothing_is_refused(sockets, fields, reason):
    socket = await sockets()
    socket.say(type="publish", id="p", **({"stream": "s", "source": "t", "payload": {}} | fields))
    await until(lambda: socket.kinds("error"))
    (error,) = socket.kinds("error")
    assert error["id"] == "p"
    assert reason in error["error"]


async def test_false_is_no_presence(standing, sockets):
    socket = await sockets()
    socket.say(type="publish", presence=False, **event("room/me", {"here": True}))
    await until(lambda: socket.kinds("ack"))
    assert len(standing.door.presences) == 0


async def test_one_socket_ties_only_so_many(sockets, monkeypatch):
    monkeypatch.setattr(limits, "presences_max", 2)
    socket = await sockets()
    for number in range(2):
        await arrive(socket, f"room/{number}")
    socket.say(type="publish", id="more", presence=True, **event("room/more", {"here": True}))
    await until(lambda: socket.kinds("error"))
    assert "at most 2" in socket.kinds("error")[0]["error"]
