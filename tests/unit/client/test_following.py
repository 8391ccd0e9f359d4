"""Following over many connections: wherever they break off, each change is told once, and none is missed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.client.following import Following, Wish
from flux_actors.domain.pattern import names
from flux_actors.domain.position import pack, parse, text_of, text_of_all
from flux_actors.errors import Refused

IDS = ("a/1", "a/2", "b/1", "b/2", "lonely")
PARTITIONS = {"a": 0, "b": 1, "lonely": 1}


def partition_of(entity_id: str) -> int:
    return PARTITIONS[entity_id.partition("/")[0]]


def position_of(message: dict[str, Any]) -> str:
    return message["position"]


class Server:
    """A log, and what a door would tell of it: states first or what is behind a position, then the rest."""

    def __init__(self) -> None:
        self.log: list[tuple[int, int, str, dict[str, Any] | None]] = []
        self.finished = False  # nothing is written any more
        self._sequences = {0: 0, 1: 0}

    def write(self, entity_id: str, value: int | None) -> None:
        partition = partition_of(entity_id)
        self._sequences[partition] += 1
        properties = None if value is None else {"v": value, f"k{value % 3}": value}
        self.log.append((partition, pack(self._sequences[partition], 0), entity_id, properties))

    def state(self) -> dict[str, tuple[str, dict[str, Any]]]:
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for partition, position, entity_id, properties in self.log:
            if properties is None:
                found.pop(entity_id, None)
            else:
                before = found.get(entity_id, ("", {}))[1]
                found[entity_id] = text_of(partition, position), before | properties
        return found

    def places(self) -> dict[int, int]:
        return {partition: pack(sequence, 4_095) for partition, sequence in self._sequences.items()}

    def delta(self, change: tuple[int, int, str, dict[str, Any] | None]) -> dict[str, Any]:
        partition, position, entity_id, properties = change
        about = {"entity_id": entity_id, "position": text_of(partition, position), "timestamp": "t"}
        if properties is None:
            return {"type": "entity_deleted"} | about
        return {"type": "delta", "properties": properties} | about

    def answers(self, request: dict[str, Any], writes: Iterator[tuple[str, int | None]]) -> Iterator[Any]:
        """Yield what one subscription is told; between two messages something may be written."""
        pattern, places = request["entity_id"], self.places()
        if "from" in request:
            places = dict(parse(request["from"], 2))
        yield {
            "type": "subscribed",
            "id": request["id"],
            "entity_id": pattern,
            "position": text_of_all(places),
        }
        if "from" not in request and request.get("initial"):
            for write in self._some(writes):
                self.write(*write)
            places = self.places()
            yield from self._states(pattern)
            live = {"type": "live", "id": request["id"], "entity_id": pattern}
            yield live | {"position": text_of_all(places)}
        told = 0
        while True:
            fresh = self.log[told:]
            told += len(fresh)
            for change in fresh:
                if names(pattern, change[2]) and change[1] > places.get(change[0], -1):
                    yield self.delta(change)
            for write in self._some(writes):
                self.write(*write)
            if self.finished and told == len(self.log):
                return

    def _states(self, pattern: str) -> Iterator[Any]:
        for entity_id, (position, properties) in sorted(self.state().items()):
            if names(pattern, entity_id):
                entity = {"id": entity_id, "properties": properties, "lastUpdated": "t"}
                yield {"type": "state", "entity": entity, "position": position}

    def _some(self, writes: Iterator[tuple[str, int | None]]) -> Iterator[tuple[str, int | None]]:
        for _ in range(2):
            write = next(writes, None)
            if write is not None:
                yield write
            self.finished = write is None


class Reader:
    """Folds what it is told, and finds what comes twice or out of order."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.newest: dict[str, int] = {}

    def take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "connected"}:
                self.entities.clear()
                self.newest.clear()
            case {"type": "state", "entity": {"id": entity_id, "properties": properties}}:
                self._move(entity_id, message)
                self.entities[entity_id] = dict(properties)
            case {"type": "delta", "entity_id": entity_id, "properties": properties}:
                self._move(entity_id, message)
                self.entities[entity_id] = self.entities.get(entity_id, {}) | properties
            case {"type": "entity_deleted", "entity_id": entity_id}:
                self._move(entity_id, message)
                self.entities.pop(entity_id, None)

    def _move(self, entity_id: str, message: dict[str, Any]) -> None:
        (position,) = parse(message["position"], 2).values()
        assert position > self.newest.get(entity_id, -1), f"{message} came twice, or late"
        self.newest[entity_id] = position


WRITES = st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 9) | st.none()), max_size=30)


@given(
    WRITES,
    WRITES,
    st.lists(st.integers(0, 12), max_size=5),
    st.lists(st.sampled_from(["*", "a/*", "b/*", "a/1", "b/2", "lonely"]), min_size=1, max_size=3),
)
def test_a_reader_folds_to_the_state_and_hears_nothing_twice(before, after, breaks, patterns):
    server, reader, writes = Server(), Reader(), iter(after)
    for write in before:
        server.write(*write)
    following = Following(Wish(tuple(patterns), delta=True))
    for left in [*breaks, None]:
        resumes = following.resumes
        requests = following.requests()
        reader.take({"type": "resumed" if resumes else "connected"})
        assert all(("from" in request) is resumes for request in requests)
        messages = _merged([server.answers(request, writes) for request in requests])
        for message in islice(messages, left):
            for one in following.take(message):
                reader.take(one)
    expected = {
        entity_id: properties
        for entity_id, (_, properties) in server.state().items()
        if any(names(pattern, entity_id) for pattern in patterns)
    }
    assert reader.entities == expected


def _merged(streams: list[Iterator[Any]]) -> Iterator[Any]:
    """Yield one message of each stream in turn, until none has any more."""
    waiting = list(streams)
    while waiting:
        for stream in list(waiting):
            message = next(stream, None)
            if message is None:
                waiting.remove(stream)
            else:
                yield message
    for stream in streams:
        yield from stream


def told(following: Following, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for message in messages for one in following.take(message)]


def subscribed(number: int = 0, position: str = "0.1.4095~1.1.4095") -> dict[str, Any]:
    return {"type": "subscribed", "id": f"watch-{number}", "position": position}


def delta(entity_id: str, position: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "delta",
        "entity_id": entity_id,
        "properties": properties,
        "position": position,
        "timestamp": "t",
    }


def test_it_asks_for_what_was_wished() -> None:
    wish = Wish(("a/*", "a/1", "b/1"), "v > 1", ("v", "w"), initial=True)
    first, second = Following(wish).requests()
    options = {"format": "delta", "live": True, "initial": True, "where": "v > 1", "fields": ["v", "w"]}
    assert first == {"type": "subscribe", "id": "watch-0", "entity_id": "a/*"} | options
    assert second == {"type": "subscribe", "id": "watch-1", "entity_id": "b/1"} | options
    (request,) = Following(Wish(("*",), position="0.4.1", initial=False)).requests()
    assert request == {
        "type": "subscribe",
        "id": "watch-0",
        "entity_id": "*",
        "format": "delta",
        "live": True,
        "from": "0.4.1",
    }


def test_updates_come_one_per_property_unless_deltas_are_wished() -> None:
    following = Following(Wish(("a/*",)))
    following.requests()
    gone = {"type": "entity_deleted", "entity_id": "a/1", "timestamp": "t", "position": "0.3.0"}
    assert told(following, subscribed(), delta("a/1", "0.2.0", x=1, y=[2]), gone) == [
        {"type": "state_update", "entity_id": "a/1", "property": "x", "value": 1, "timestamp": "t"},
        {"type": "state_update", "entity_id": "a/1", "property": "y", "value": [2], "timestamp": "t"},
        {"type": "entity_deleted", "entity_id": "a/1", "timestamp": "t"},
    ]


def test_what_a_socket_hears_before_it_has_chosen_is_left_out() -> None:
    following = Following(Wish(("a/*",)))
    following.requests()
    early = {"type": "state_update", "entity_id": "a/1", "property": "x", "value": 1, "timestamp": "t"}
    assert told(following, early, delta("a/1", "0.2.0", x=1), subscribed()) == []


def test_what_a_state_had_in_it_is_not_told_again_after_a_break() -> None:
    following = Following(Wish(("*",)))
    following.requests()
    state = {"type": "state", "entity": {"id": "a/1", "properties": {}}, "position": "0.5.0"}
    told(following, subscribed(), state, delta("b/1", "1.7.0", x=1))
    assert following.requests()[0]["from"] == "0.1.4095~1.7.0"
    again = [delta("a/1", "0.3.0", x=1), delta("a/1", "0.5.0", x=2), delta("a/1", "0.6.0", x=3)]
    assert [one["value"] for one in told(following, subscribed(), *again)] == [3]
    assert following.requests()[0]["from"] == "0.6.0~1.7.0"


def test_one_who_was_too_slow_goes_on_from_before_until_the_order_is_back() -> None:
    following = Following(Wish(("a/*",), initial=False))
    following.requests()
    late = [
        delta("a/1", "0.9.0", x=1) | {"conflated": True},
        delta("a/2", "0.8.0", x=1) | {"conflated": True},
    ]
    slow = [{"type": "conflated", "entities": 2}, *late]
    assert len(told(following, subscribed(), delta("a/1", "0.2.0", x=0), *slow)) == 4
    assert following.requests()[0]["from"] == "0.2.0~1.1.4095"
    told(following, subscribed(), *slow, delta("a/1", "0.11.0", y=1))
    assert following.requests()[0]["from"] == "0.11.0~1.1.4095"


def test_a_quiet_watch_goes_on_from_where_all_of_its_state_had_come() -> None:
    following = Following(Wish(("a/*",)))
    following.requests()
    state = {"type": "state", "entity": {"id": "a/1", "properties": {}}, "position": "0.5.0"}
    assert told(following, subscribed(), state) == [state]
    assert not following.resumes
    following.requests()
    live = {"type": "live", "id": "watch-0", "entity_id": "a/*", "position": "0.7.4095"}
    assert told(following, subscribed(), state, live) == [state]
    assert following.requests()[0]["from"] == "0.7.4095"


def test_a_resync_is_told_and_the_next_connection_begins_anew() -> None:
    following = Following(Wish(("a/*", "b/1"), position="0.4.1~1.1.1"))
    following.requests()
    lost = {"type": "resync", "entity_id": "a/*"}
    assert told(following, subscribed(0), subscribed(1), lost) == [lost]
    assert not following.resumes


def test_an_error_ends_it() -> None:
    following = Following(Wish(("a/*",)))
    following.requests()
    with pytest.raises(Refused, match="too many"):
        told(following, {"type": "error", "error": "too many"})


def test_other_messages_are_passed_on() -> None:
    following = Following(Wish(("a/*",)))
    following.requests()
    others = [{"type": "metrics_update"}, {"type": "left", "entity_id": "a/1"}, {"type": "news"}]
    assert told(following, subscribed(), *others) == others
