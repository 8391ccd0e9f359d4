"""A session on both transports: subscribing, publishing, getting, mistakes, and clients that do not read."""

from __future__ import annotations

import asyncio
import json

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_api.frames import message
from tests.unit.api.sockets import CLIENTS
from tests.unit.api.standing import event, settle, until


@pytest.fixture(params=CLIENTS)
def connect(request):
    return CLIENTS[request.param]


@pytest.fixture
async def client(standing, connect):
    client = connect(standing)
    await until(lambda: standing.door.hub.watchers)
    yield client
    await client.close()
    assert standing.door.hub.watchers == set()


async def test_it_gets_everything_until_it_subscribes(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    client.say(type="subscribe", entity_id="b/*")
    await settle()
    await standing.publish(event("a/1", {"v": 2}))
    await standing.publish(event("b/1", {"v": 3}))
    await standing.publish(event("b/1", {"__deleted__": True}))
    await until(lambda: client.kinds("entity_deleted"))
    assert [update["value"] for update in client.kinds("state_update")] == [1, 3]
    assert [gone["entity_id"] for gone in client.kinds("entity_deleted")] == ["b/1"]


async def test_it_gets_nothing_after_unsubscribing_its_last_id(standing, client):
    client.say(type="subscribe", entity_id="a/1")
    client.say(type="unsubscribe", entity_id="a/1")
    await settle()
    await standing.publish(event("a/1", {"v": 1}))
    standing.door.hub.announce('{"type":"metrics_update"}')
    await until(lambda: client.kinds("metrics_update"))
    assert client.kinds("state_update") == []


async def test_a_subscription_with_an_id_is_answered_before_its_updates(standing, client):
    client.say(type="subscribe", entity_id="none/1")
    client.say(type="subscribe", entity_id="a/1", id=7)
    await until(lambda: client.kinds("subscribed"))
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: client.kinds("state_update"))
    position = standing.door.hub.place_of("a/1")
    told = client.received[0]
    assert set(told) == {"type", "id", "entity_id", "position"}
    assert (told["type"], told["id"], told["entity_id"]) == ("subscribed", 7, "a/1")
    partition = standing.door.partitioning.of_entity("a/1")
    assert standing.door.positions(told["position"])[partition] < standing.door.positions(position)[partition]


async def test_a_subscription_with_options_is_answered_before_its_states(standing, client):
    await standing.publish(event("a/1", {"v": 1}))
    client.received.clear()
    client.say(type="subscribe", entity_id="a/*", initial=True)
    await until(lambda: client.kinds("state"))
    told, state = client.received
    assert told == {"type": "subscribed", "entity_id": "a/*", "position": standing.door.hub.place_of("a/*")}
    assert state["entity"]["properties"] == {"v": 1}


async def test_a_resumed_one_is_answered_with_the_place_it_came_from(standing, client):
    place = standing.door.hub.place_of("a/*")
    client.say(type="subscribe", entity_id="a/*", id=[1], **{"from": place})
    await until(lambda: client.kinds("subscribed"))
    assert client.received == [{"type": "subscribed", "id": [1], "entity_id": "a/*", "position": place}]


async def test_a_plain_subscription_without_an_id_is_not_answered(standing, client):
    client.say(type="subscribe", entity_id="a/*", initial=False, where=None)
    client.say(type="subscribe", entity_id="b/*", id=1)
    await until(lambda: client.kinds("subscribed"))
    assert [told["entity_id"] for told in client.received] == ["b/*"]


async def test_a_bad_option_is_told_with_the_id_and_changes_nothing(standing, client):
    client.say(type="subscribe", entity_id="a/*", format="delta")
    client.say(type="subscribe", entity_id="a/*", id=7, where="v >")
    await until(lambda: client.kinds("error"))
    (error,) = client.kinds("error")
    assert error["id"] == 7
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: client.kinds("delta"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        '{"type":"dance"}',
        '{"type":["publish"]}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","entity_id":5}',
        '{"type":"subscribe","entity_id":""}',
        f'{{"type":"subscribe","entity_id":"*","id":{2**70}}}',
        '{"type":"unsubscribe"}',
        '{"type":"subscribe","entity_id":"*","where":"v>"}',
        '{"type":"subscribe","entity_id":"*","from":"0.1"}',
        "[" * 200 + "]" * 200,
        '{"type":"subscribe","entity_id":"*","x":' + "[" * 128 + "]" * 128 + "}",
        b"\xff\xfe",
        b'{"type":"subscribe","entity_id":"\xff"}',
    ],
    ids=lambda text: ascii(text[:40]),
)
async def test_a_malformed_message_is_told_and_the_socket_stays_open(standing, client, text):
    client.send(text)
    await until(lambda: client.kinds("error"))
    (error,) = client.kinds("error")
    assert list(error) == ["type", "error"]
    assert len(error["error"]) > 8
    await standing.publish(event("a/1", {"v": 1}))
    await until(lambda: client.kinds("state_update"))


async def test_bytes_are_read_as_text(client):
    client.send(b'{"type":"subscribe","entity_id":"*","id":1}')
    await until(lambda: client.kinds("subscribed"))


async def test_a_publish_is_answered_once_it_is_durable(standing, client):
    client.say(type="subscribe", entity_id="none")
    client.say(type="publish", id="first", **event("n/e", {"v": 1}, eventId="mine"))
    await until(lambda: client.kinds("ack"))
    (ack,) = client.kinds("ack")
    assert (ack["id"], ack["eventId"]) == ("first", "mine")
    positions = standing.door.positions(ack["position"])
    await standing.door.reached(positions, tuple(positions))
    assert (await standing.door.view.get("n/e")).properties == {"v": 1}


async def test_an_ack_comes_not_before_the_log_has_the_event(standing, client, monkeypatch):
    held, append = asyncio.Event(), standing.log.append

    async def slow(*arguments):
        await held.wait()
        return await append(*arguments)

    monkeypatch.setattr(standing.log, "append", slow)
    client.say(type="publish", id=1, **event("n/e", {"v": 1}))
    await settle()
    assert client.received == []
    held.set()
    await until(lambda: client.kinds("ack"))


async def test_many_publishes_are_under_way_at_once_and_each_is_answered(standing, client):
    client.say(type="subscribe", entity_id="none")
    for number in range(300):
        body = event(f"wide/{number % 7}", {"v": number}) if number % 3 else event("flux-core/x", {"v": 1})
        client.say(type="publish", id=number, **body)
    await until(lambda: len(client.received) == 300)
    assert sorted(answer["id"] for answer in client.received) == list(range(300))
    assert {answer["id"] for answer in client.kinds("error")} == set(range(0, 300, 3))
    assert all(set(ack) == {"type", "id", "eventId", "position"} for ack in client.kinds("ack"))
    assert sum(committer.blocks_total for committer in standing.door.publisher.committers) < 200


async def test_publishes_of_one_socket_land_in_the_order_they_were_sent(standing, client):
    client.say(type="subscribe", entity_id="n/e")
    for number in range(100):
        client.say(type="publish", id=number, **event("n/e", {"v": number}))
    await until(lambda: len(client.kinds("ack")) == 100 and len(client.kinds("state_update")) == 100)
    assert [update["value"] for update in client.kinds("state_update")] == list(range(100))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "stream is required"),
        (event("n/e", {"v": 2**64}), "64 bits"),
        (event("", {"v": 1}), "1 to 512 bytes"),
        (event("flux-core/x", {"v": 1}), "flux-core"),
        (event("n/e", {"v": 1}, timestamp=True), "timestamp"),
        (event("n/e", {"v": "x" * (limits.body_single_bytes + 1024)}), "at most 1048576 bytes"),
        (event("n/e", {"v": 1}, condition={"absent": False}), "condition"),
        (event("n/e", ["v"]), "must be a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_publish_that_breaks_a_rule_is_refused_under_its_id(standing, client, fields, reason):
    client.say(type="publish", id={"any": ["json"]}, **fields)
    await until(lambda: client.kinds("error"))
    (error,) = client.kinds("error")
    assert set(error) == {"type", "id", "error"}
    assert error["id"] == {"any": ["json"]}
    assert reason in error["error"]


async def test_an_event_as_large_as_over_http_fits(standing, client):
    body = event("n/e", {"v": ""})
    room = limits.body_single_bytes - len(json.dumps(body))
    client.say(type="publish", id="x" * 500, **event("n/e", {"v": "x" * room}))
    await until(lambda: client.received)
    assert client.received[0]["type"] != "error"


async def test_a_publish_that_did_not_become_durable_is_told(standing, client, monkeypatch):
    def away(_envelope, _principal, done):
        asyncio.get_running_loop().call_soon(done, Unavailable("the log cannot be reached"))

    monkeypatch.setattr(standing.door.publisher, "submit", away)
    client.say(type="publish", id=1, **event("n/e", {"v": 1}))
    await until(lambda: client.received)
    assert client.received == [{"type": "error", "id": 1, "error": "the log cannot be reached"}]


async def test_a_client_with_too_many_publishes_unanswered_is_not_read(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "socket_publishes_max", 5)
    waiting = []
    monkeypatch.setattr(standing.door.publisher, "submit", lambda _, __, done: waiting.append(done))
    for number in range(20):
        client.say(type="publish", id=number, **event("n/e", {"v": number}))
    await settle()
    assert len(waiting) == 5
    waiting.pop(0)(Unavailable("one"))
    await settle()
    assert len(waiting) == 5
    while waiting:
        waiting.pop()(Unavailable("another"))
        await settle()
    assert {answer["id"] for answer in client.kinds("error")} == set(range(20))


async def test_a_client_with_too_many_bytes_unanswered_is_not_read(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "socket_publish_bytes_max", 1_000)
    waiting = []
    monkeypatch.setattr(standing.door.publisher, "submit", lambda _, __, done: waiting.append(done))
    for number in range(10):
        client.say(type="publish", id=number, **event("n/e", {"v": "x" * 400}))
    await settle()
    assert len(waiting) == 2
    while waiting:
        waiting.pop()(Unavailable("no"))
        await settle()
    assert len(client.kinds("error")) == 10


async def test_get_tells_an_entity_or_that_there_is_none(standing, client):
    await standing.publish(event("n/e", {"v": 1}))
    client.received.clear()
    client.say(type="get", id=1, entity_id="n/e")
    client.say(type="get", id=2, entity_id="n/none")
    await until(lambda: len(client.received) == 2)
    by_id = {answer["id"]: answer for answer in client.received}
    assert by_id[1]["entity"] == json.loads((await standing.door.view.get("n/e")).body())
    assert by_id[2] == {"type": "entity", "id": 2, "entity": None}
    client.say(type="get", id=3, entity_id="n/e")  # kept by now: answered at once
    await until(lambda: len(client.received) == 3)
    assert client.received[-1] == by_id[1] | {"id": 3}


@pytest.mark.parametrize("entity_id", [None, 5, "", "x" * 600, "a\n"])
async def test_get_of_what_is_no_id_is_refused(client, entity_id):
    client.say(type="get", id=1, entity_id=entity_id)
    await until(lambda: client.received)
    assert (client.received[0]["type"], client.received[0]["id"]) == ("error", 1)


async def test_get_while_the_shard_is_away_is_told(standing, client, monkeypatch):
    async def away(*_):
        raise Unavailable("recovering")

    monkeypatch.setattr(standing.door.shards, "call", away)
    client.say(type="get", id=1, entity_id="n/e")
    await until(lambda: client.received)
    assert client.received == [{"type": "error", "id": 1, "error": "recovering"}]


async def test_a_client_that_goes_while_it_waits_leaves_nothing(standing, connect, monkeypatch):
    held = asyncio.Event()
    waiting = []

    async def never(*_):
        await held.wait()
        raise Unavailable("too late")

    monkeypatch.setattr(standing.door.shards, "call", never)
    monkeypatch.setattr(standing.door.publisher, "submit", lambda _, __, done: waiting.append(done))
    client = connect(standing)
    await until(lambda: standing.door.hub.watchers)
    client.say(type="get", id=1, entity_id="n/e")
    client.say(type="publish", id=2, **event("n/e", {"v": 1}))
    await until(lambda: waiting)
    await client.close()
    waiting[0](Unavailable("nobody hears this"))
    held.set()
    await settle()
    assert client.received == []


async def test_one_that_does_not_read_holds_nobody_up_and_is_told(standing, client, connect, monkeypatch):
    monkeypatch.setattr(limits, "socket_pressed_bytes", 200)
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 300)
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 300)
    slow = connect(standing)
    await until(lambda: len(standing.door.hub.watchers) == 2)
    await settle()
    slow.stop_reading()
    for number in range(30):
        await standing.publish(event("a/1", {"v": number}))
    await until(lambda: len(client.kinds("state_update")) == 30)
    slow.read_again()
    await until(lambda: slow.kinds("conflated"))
    await settle()
    assert slow.kinds("conflated") == [{"type": "conflated", "entities": 1}]
    assert slow.kinds("state_update")[-1]["value"] == 29
    assert len(slow.kinds("state_update")) < 20
    await standing.publish(event("a/1", {"v": 30}))
    await until(lambda: slow.kinds("state_update")[-1]["value"] == 30)
    assert client.kinds("conflated") == []
    await slow.close()


async def test_one_that_sends_and_never_reads_cannot_fill_the_memory(standing, connect, monkeypatch):
    monkeypatch.setattr(limits, "socket_pressed_bytes", 500)
    told = []

    def counted(**fields):
        told.append(fields)
        return message(**fields)

    monkeypatch.setattr("flux_api.socket_session.message", counted)
    flood = connect(standing)
    await until(lambda: standing.door.hub.watchers)
    await settle()
    flood.stop_reading()
    for _ in range(200):
        flood.say(type="dance")
    for _ in range(500):
        await asyncio.sleep(0)
    answers = len(told)
    flood.read_again()
    await until(lambda: len(flood.kinds("error")) == 200)
    await flood.close()
    assert answers <= 20
