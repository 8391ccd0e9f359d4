"""`GET /api/stream` over the app: what is told, from where on, to whom, and how it ends."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_api.protocol import CONNECTION
from tests.unit.api.event_streams import StreamClient
from tests.unit.api.standing import event, settle, until


@pytest.fixture
async def open_stream(standing):
    """Open streams by their query; all are closed in the end and leave nothing."""
    opened = []

    async def open_one(query=(), **options):
        client = StreamClient(standing, query, **options)
        opened.append(client)
        return await client.begun()

    yield open_one
    for client in opened:
        await client.close()
    assert standing.door.hub.watchers == set()


def values(client):
    """Return what was told of which entity."""
    return [
        (m["entity_id"], m["property"], m["value"])
        if m["type"] == "state_update"
        else (m["entity_id"], "deleted", True)
        for m in client.messages()
    ]


async def test_the_updates_of_a_socket_come_as_events_of_their_type(standing, open_stream):
    client = await open_stream([("prefix", "home/")])
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-store"
    assert "content-encoding" not in client.headers
    await standing.publish(event("home/a", {"x": 1, "y": [2]}), event("away/a", {"x": 1}))
    await standing.publish(event("home/a", {"__deleted__": True}))
    await until(lambda: len(client.events) == 3)
    assert [e.kind for e in client.events] == ["state_update", "state_update", "entity_deleted"]
    assert all(e.kind == e.message["type"] for e in client.events)
    assert values(client) == [("home/a", "x", 1), ("home/a", "y", [2]), ("home/a", "deleted", True)]
    assert client.source.retry_ms == 1_000


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ([], ["a/1", "a/2", "b/1", "wide/1"]),
        ([("prefix", "")], ["a/1", "a/2", "b/1", "wide/1"]),
        ([("entity", "*")], ["a/1", "a/2", "b/1", "wide/1"]),
        ([("entity", "a/1")], ["a/1"]),
        ([("entity", "a/1"), ("entity", "b/1")], ["a/1", "b/1"]),
        ([("entity", "a/1"), ("prefix", "a/")], ["a/1", "a/2"]),
        ([("entity", "a/*"), ("entity", "none")], ["a/1", "a/2"]),
        ([("prefix", "a/1/")], []),
    ],
)
async def test_whom_it_is_about(standing, open_stream, query, told):
    client = await open_stream(query)
    await standing.publish(*(event(i, {"v": 1}) for i in ("a/1", "a/2", "b/1", "wide/1")))
    await settle()
    assert sorted(message["entity_id"] for message in client.messages("state_update")) == told


async def test_the_options_mean_what_they_mean_on_a_socket(standing, open_stream):
    await standing.publish(event("a/1", {"v": 1, "w": 1}), event("a/2", {"v": 9, "w": 2}))
    client = await open_stream(
        {"prefix": "a/", "where": "v < 5", "fields": "v,u", "format": "delta", "initial": "true"}
    )
    await until(lambda: client.messages("state"))
    await standing.publish(event("a/1", {"v": 2, "w": 3}), event("a/2", {"v": 8}), event("a/1", {"v": 7}))
    await until(lambda: client.messages("left"))
    (state,) = client.messages("state")
    assert (state["entity"]["id"], state["entity"]["properties"]) == ("a/1", {"v": 1})
    deltas = [(m["entity_id"], m["properties"]) for m in client.messages("delta")]
    assert deltas == [("a/1", {"v": 2})]


async def test_one_that_comes_back_is_told_what_it_missed_and_nothing_twice(standing, open_stream):
    first = await open_stream({"entity": "*", "format": "delta"})
    await standing.publish(event("a/1", {"v": 1}), event("wide/1", {"v": 1}), event("wide/2", {"v": 1}))
    await until(lambda: len(first.events) == 3)
    await first.close()
    await standing.publish(event("a/1", {"v": 2}), event("wide/2", {"v": 2}), event("b/1", {"v": 2}))
    second = await open_stream({"entity": "*", "format": "delta"}, source=first.source)
    await standing.publish(event("wide/1", {"v": 3}))
    await until(lambda: len(second.events) >= 4)
    await settle()
    told = [(m["entity_id"], m["properties"]["v"]) for m in second.messages("delta")]
    assert sorted(told) == [("a/1", 2), ("b/1", 2), ("wide/1", 3), ("wide/2", 2)]


async def test_it_can_come_back_before_anything_was_told(standing, open_stream):
    first = await open_stream({"prefix": "a/"})
    await until(lambda: first.source.last_id)
    await first.close()
    await standing.publish(event("a/1", {"v": 1}))
    second = await open_stream({"prefix": "a/"}, source=first.source)
    await until(lambda: second.events)
    assert values(second) == [("a/1", "v", 1)]


async def test_from_in_the_url_says_where_to_begin_unless_the_browser_knows_better(
    standing, client, open_stream
):
    first = (await client.post("/api/events", json=event("a/1", {"v": 1}))).headers["flux-position"]
    second = (await client.post("/api/events", json=event("a/1", {"v": 2}))).headers["flux-position"]
    await client.post("/api/events?wait=applied", json=event("a/1", {"v": 3}))
    from_url = await open_stream({"entity": "a/1", "from": first})
    await until(lambda: len(from_url.events) == 2)
    from_header = await open_stream({"entity": "a/1", "from": first}, headers={"Last-Event-ID": second})
    await until(lambda: len(from_header.events) == 1)
    await settle()
    assert values(from_url) == [("a/1", "v", 2), ("a/1", "v", 3)]
    assert values(from_header) == [("a/1", "v", 3)]


async def test_a_position_that_nobody_remembers_is_a_resync_and_the_state(standing, open_stream, monkeypatch):
    monkeypatch.setattr(limits, "resume_changes_max", 1)
    client = await open_stream({"prefix": "a/"})
    await until(lambda: client.source.last_id)
    await client.close()
    await standing.publish(*(event("a/1", {"v": n}) for n in range(9)))
    again = await open_stream({"prefix": "a/", "initial": "true"}, source=client.source)
    await until(lambda: again.messages("state"))
    assert [e.kind for e in again.events] == ["resync", "state"]
    assert again.messages("state")[0]["entity"]["properties"] == {"v": 8}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"entity": ""}, "entity must be"),
        ({"entity": "x" * 600}, "entity must be"),
        ({"prefix": "home"}, "prefix must end in /"),
        ({"where": "v >"}, "where ends too early"),
        ({"fields": "a,,b"}, "fields must be"),
        ({"format": "xml"}, "format may be delta"),
        ({"from": "yesterday"}, "this is no position"),
        ({"from": "9999.1.1"}, "this is no position"),
    ],
)
async def test_a_query_that_cannot_be_read_is_400(client, query, told):
    answer = await client.get("/api/stream", params=query)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert (await client.get("/api/stream?entity=%FF")).status_code == 400
    assert (await client.get("/api/stream", headers={"Last-Event-ID": "x"})).status_code == 400


async def test_too_many_entities_are_refused_and_nothing_is_left(standing, client, monkeypatch):
    monkeypatch.setattr(limits, "socket_patterns_max", 2)
    answer = await client.get("/api/stream", params=[("entity", str(n)) for n in range(3)])
    assert (answer.status_code, standing.door.hub.watchers) == (400, set())


async def test_other_methods_are_refused(client):
    for method in ("HEAD", "POST", "PUT", "DELETE"):
        answer = await client.request(method, "/api/stream")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_one_that_does_not_read_is_conflated_and_told_so(standing, open_stream, monkeypatch):
    monkeypatch.setattr(limits, "socket_pressed_bytes", 200)
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 300)
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 300)
    client, other = await open_stream({"prefix": "a/"}), await open_stream({"prefix": "a/"})
    client.stop_reading()
    for n in range(40):
        await standing.publish(event("a/1", {"v": n}))
    await until(lambda: len(other.events) == 40)
    client.read_again()
    await until(lambda: client.messages("conflated"))
    await settle()
    assert client.messages("conflated") == [{"type": "conflated", "entities": 1}]
    updates = client.messages("state_update")
    assert updates[-1]["value"] == 39
    assert len(updates) < 30
    await standing.publish(event("a/1", {"v": 40}))
    await until(lambda: client.messages("state_update")[-1]["value"] == 40)
    assert client.source.last_id.split(".")[1] == other.source.last_id.split(".")[1]


class Connection:
    """The connection of a door, as the route sees it."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.end = None
        self.ended = 0

    def begin_stream(self, end):
        if self.full:
            raise Unavailable("full")
        self.end = end

    def stream_ended(self):
        self.ended += 1


async def test_it_has_a_place_at_the_door_until_it_ends(standing, open_stream):
    connection = Connection()
    client = await open_stream(scope={CONNECTION: connection})
    assert connection.ended == 0
    await client.close()
    assert connection.ended == 1


async def test_a_door_that_closes_ends_it(standing, open_stream):
    connection = Connection()
    client = await open_stream(scope={CONNECTION: connection})
    connection.end()
    await client.ended()
    assert (client.status, connection.ended) == (200, 1)
    assert standing.door.hub.watchers == set()


async def test_a_door_that_is_full_says_so(standing, open_stream):
    client = await open_stream(scope={CONNECTION: Connection(full=True)})
    assert client.status == 503
    assert standing.door.hub.watchers == set()


async def test_figures_come_when_they_are_asked_for(standing, open_stream):
    plain, curious = await open_stream(), await open_stream({"metrics": "true"})
    standing.door.hub.announce('{"type":"metrics_update"}')
    await until(lambda: curious.events)
    await settle()
    assert (plain.events, curious.messages()) == ([], [{"type": "metrics_update"}])


async def test_tokens_decide_what_is_told(tenants):
    standing = tenants.standing
    streams = {
        kind: await StreamClient(standing, {"entity": "*"}, tenants.headers(kind)).begun()
        for kind in ("none", "main", "prefix", "other", "wrong", "expired")
    }
    assert {kind: stream.status for kind, stream in streams.items()} == {
        **dict.fromkeys(("none", "main", "prefix", "other"), 200),
        **dict.fromkeys(("wrong", "expired"), 401),
    }
    await standing.publish(*(event(i, {"v": 2}) for i in ("vault/x", "vault/kitchen/x", "acme/x")))
    await standing.publish(*(event(f"acme/end{n}", {"v": 2}) for n in range(9)))  # in every partition

    def told_of(kind):
        return sorted(message["entity_id"] for message in streams[kind].messages())

    kinds = ("none", "main", "prefix", "other")
    await until(lambda: all(sum("/end" in i for i in told_of(kind)) == 9 for kind in kinds))
    told = {kind: [i for i in told_of(kind) if "/end" not in i] for kind in kinds}
    assert told["none"] == told["other"] == ["acme/x"]
    assert told["prefix"] == ["acme/x", "vault/kitchen/x"]
    assert told["main"] == ["acme/x", "vault/kitchen/x", "vault/x"]
    for stream in streams.values():
        await stream.close()


async def test_a_token_that_is_revoked_tells_nothing_hidden_any_more(tenants):
    standing = tenants.standing
    stream = await StreamClient(standing, {"prefix": "vault/"}, tenants.headers("read")).begun()
    await standing.publish(event("vault/x", {"v": 2}))
    await until(lambda: stream.messages("state_update"))
    await tenants.revoke("read")
    await until(lambda: stream.messages("error"))
    assert "revoked" in stream.messages("error")[0]["error"]
    await standing.publish(event("vault/x", {"v": 3}))
    await settle()
    assert [m["value"] for m in stream.messages("state_update")] == [2]
    await stream.close()
    again = await StreamClient(standing, {"prefix": "vault/"}, tenants.headers("read")).begun()
    assert again.status == 401
    await again.close()
