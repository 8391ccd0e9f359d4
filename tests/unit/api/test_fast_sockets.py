"""Sockets that ask too much: what is refused, what is not, and who is sent away."""

from __future__ import annotations

import pytest
from websockets.frames import Close, Opcode

from flux_actors import limits
from flux_api.socket_pace import TOO_FAST
from tests.unit.api.sockets import CLIENTS, RawClient
from tests.unit.api.standing import event, until


@pytest.fixture(params=CLIENTS)
async def client(request, standing, monkeypatch):
    """A socket that may ask three times, and be told eight times that it may not."""
    monkeypatch.setattr(limits, "socket_requests_burst", 3)
    monkeypatch.setattr(limits, "socket_requests_per_s", 0)
    monkeypatch.setattr(limits, "socket_refusals_burst", 8)
    monkeypatch.setattr(limits, "socket_refusals_per_s", 0)
    monkeypatch.setattr(limits, "socket_auth_weight", 2)
    client = CLIENTS[request.param](standing)
    await until(lambda: standing.door.hub.watchers)
    yield client
    await client.close()
    assert standing.door.hub.watchers == set()


def farewell(client):
    """Return the code and the reason that a client was sent away with, if it was."""
    if isinstance(client, RawClient):
        ends = [frame for frame in client.frames if frame.opcode is Opcode.CLOSE]
        return [(end.code, end.reason) for end in (Close.parse(bytes(frame.data)) for frame in ends)]
    return [(message["code"], message["reason"]) for message in client.kinds("websocket.close")]


async def test_what_is_asked_too_fast_is_refused_by_its_id_and_the_socket_stays(standing, client):
    for number in range(5):
        client.say(type="subscribe", id=number, entity_id=f"a/{number}")
    client.say(type="subscribe", entity_id="a/9")
    client.send("nonsense")
    await until(lambda: len(client.received) == 7)
    assert [answer["type"] for answer in client.received] == ["subscribed"] * 3 + ["error"] * 4
    assert [answer.get("id") for answer in client.received[3:]] == [3, 4, None, None]
    assert {answer["error"] for answer in client.kinds("error")} == {TOO_FAST.message}
    await standing.publish(*(event(f"a/{number}", {"v": number}) for number in (0, 2, 4)))
    await until(lambda: len(client.kinds("state_update")) == 2)
    assert [update["value"] for update in client.kinds("state_update")] == [0, 2]


async def test_publishes_have_the_rate_of_their_namespace_alone(client):
    client.say(type="subscribe", entity_id="none")
    for number in range(50):
        client.say(type="publish", id=number, **event("n/e", {"v": number}))
    await until(lambda: len(client.kinds("ack")) == 50)
    assert client.kinds("error") == []


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        ({"type": "dance"}, 3),
        ({"type": "publish", "stream": ""}, 3),
        ({"type": "publish", **event("flux-core/x", {"v": 1})}, 3),
        ({"type": "auth", "token": 5}, 1),
        ({"type": "get", "entity_id": ""}, 3),
        ({"type": "unsubscribe"}, 3),
        ({"type": "subscribe", "entity_id": "x" * 3_000}, 1),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_refused_anyway_counts_too(client, message, taken):
    for _ in range(7):
        client.say(**message)
    await until(lambda: len(client.kinds("error")) == 7)
    told = [answer["error"] == TOO_FAST.message for answer in client.kinds("error")]
    assert told == [False] * taken + [True] * (7 - taken)


async def test_who_does_not_stop_is_sent_away(client):
    for _ in range(12):
        client.send("{")
    await until(lambda: farewell(client))
    assert farewell(client) == [(1008, "too many messages, and none of them waited")]
    assert len(client.kinds("error")) == 11
