"""The watcher against a scripted WebSocket: what it says, what it yields, how it comes back."""

from __future__ import annotations

import logging
import socket
from itertools import islice
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from flux_actors.client.following import Wish
from flux_actors.client.watch import Watcher
from flux_actors.errors import Refused, Unavailable
from tests.unit.client.contract_server import ContractServer
from tests.unit.client.contract_socket import contract_socket, say

UPDATE = {
    "type": "state_update",
    "entity_id": "a/b",
    "property": "n",
    "value": 2**64 - 1,
    "timestamp": "u",
}
DELTA = {
    "type": "delta",
    "entity_id": "a/b",
    "properties": {"n": 2**64 - 1},
    "timestamp": "u",
    "position": "0.2.0",
}
GONE = {"type": "entity_deleted", "entity_id": "a/b", "timestamp": "v"}
METRICS = {"type": "metrics_update"}
EVERYTHING = Wish(("*",))


class Sleeps(list[float]):
    """Stands in for `time.sleep` and takes no time."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def test_subscribes_to_each_pattern_then_yields_messages_one_by_one() -> None:
    state = {
        "type": "state",
        "entity": {"id": "a/b", "properties": {}, "lastUpdated": "t"},
        "position": "0.1.0",
    }

    def script(connection: ServerConnection) -> None:
        say(connection, state, [DELTA, GONE])

    with contract_socket([script], subscriptions=2) as flux:
        messages = list(islice(Watcher(flux.url, Wish(("a/*", 'b/"x'))), 4))
    assert messages == [{"type": "connected"}, state, UPDATE, GONE]
    assert flux.paths == ["/api/ws"]
    assert [(one["id"], one["entity_id"]) for one in flux.subscriptions] == [
        ("watch-0", "a/*"),
        ("watch-1", 'b/"x'),
    ]


def test_goes_on_behind_what_it_was_told_last() -> None:
    scripts = [lambda connection: say(connection, DELTA), lambda connection: say(connection, GONE)]
    with contract_socket(scripts) as flux:
        messages = list(islice(Watcher(flux.url, Wish(("*",)), sleep=Sleeps()), 5))
    kinds = [message["type"] for message in messages]
    assert kinds == ["connected", "state_update", "disconnected", "resumed", "entity_deleted"]
    assert [one.get("from") for one in flux.subscriptions] == [None, "0.2.0"]


@pytest.mark.parametrize("end", ["farewell", "torn"])
def test_comes_back_and_subscribes_again_when_the_connection_ends(end: str) -> None:
    def first(connection: ServerConnection) -> None:
        say(connection, METRICS)
        if end == "torn":
            connection.socket.shutdown(socket.SHUT_RDWR)

    sleeps = Sleeps()
    with contract_socket([first, lambda connection: say(connection, GONE)]) as flux:
        messages = list(islice(Watcher(flux.url, EVERYTHING, sleep=sleeps), 5))
    kinds = [message["type"] for message in messages]
    assert kinds == ["connected", "metrics_update", "disconnected", "connected", "entity_deleted"]
    assert [subscription["entity_id"] for subscription in flux.subscriptions] == ["*", "*"]
    assert len(sleeps) == 1
    assert 0.1 <= sleeps[0] <= 0.2


def test_keeps_trying_with_growing_delays_while_nobody_listens() -> None:
    sleeps = Sleeps()
    with contract_socket([lambda connection: say(connection, DELTA)]) as flux:
        messages = iter(Watcher(flux.url, EVERYTHING, sleep=sleeps))
        assert [next(messages)["type"] for _ in range(3)] == ["connected", "state_update", "disconnected"]
    later = [next(messages) for _ in range(8)]
    assert {message["type"] for message in later} == {"disconnected"}
    assert "cannot reach Flux" in later[0]["error"]
    shares = [delay / full for delay, full in zip(sleeps, [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5], strict=True)]
    assert all(0.5 <= share <= 1.0 for share in shares), shares


def test_first_connection_that_fails_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"cannot reach Flux at {url}; start it"):
        next(iter(Watcher(url, EVERYTHING)))


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (401, b'{"error": "send the token of home"}', Refused, "send the token of home"),
        (404, b"", Refused, "answered the WebSocket with 404"),
        (503, b'{"error": "starting"}', Unavailable, "starting"),
        (200, b"{}", Unavailable, "answered the WebSocket with 200"),
    ],
)
def test_handshake_that_is_refused_tells_why(
    flux: ContractServer, status: int, body: bytes, error: type[Exception], message: str
) -> None:
    flux.answer_with(status, body)
    with pytest.raises(error, match=message):
        next(iter(Watcher(flux.url, EVERYTHING)))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"type": "error", "error": "no such pattern"}, "no such pattern"),
        ("text", "not one of Flux"),
        ([1], "not one of Flux"),
    ],
)
def test_frame_that_is_an_error_or_nonsense_ends_the_watch(frame: Any, message: str) -> None:
    with (
        contract_socket([lambda connection: say(connection, frame)]) as flux,
        pytest.raises(Refused, match=message),
    ):
        list(Watcher(flux.url, EVERYTHING))


def test_token_goes_into_the_handshake_and_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with contract_socket([lambda connection: say(connection, DELTA)]) as flux:
        list(islice(Watcher(flux.url, EVERYTHING, "secret-one"), 2))
    assert flux.headers[0]["authorization"] == "Bearer secret-one"
    mine = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not any("secret" in record.getMessage() for record in mine)
