"""The watcher against a scripted WebSocket: what it says, what it yields, how it comes back."""

from __future__ import annotations

import logging
import socket
from itertools import islice
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from flux_actors.client.watch import Watcher
from flux_actors.domain.entity import EntityBody
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
GONE = {"type": "entity_deleted", "entity_id": "a/b", "timestamp": "v"}


class Sleeps(list[float]):
    """Stands in for `time.sleep` and takes no time."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def test_subscribes_to_each_pattern_then_yields_the_state_then_messages_one_by_one() -> None:
    def present(pattern: str) -> list[EntityBody]:
        assert len(flux.subscriptions) == 2
        return [EntityBody(pattern, {"n": 1}, "t")]

    def script(connection: ServerConnection) -> None:
        say(connection, [UPDATE, GONE])

    with contract_socket([script], subscriptions=2) as flux:
        messages = list(islice(Watcher(flux.url, ["a/*", 'b/"x'], present=present), 5))
    states = [
        {"type": "state", "entity": {"id": name, "properties": {"n": 1}, "lastUpdated": "t"}}
        for name in ("a/*", 'b/"x')
    ]
    assert messages == [{"type": "connected"}, *states, UPDATE, GONE]
    assert flux.paths == ["/api/ws"]
    assert flux.subscriptions == [
        {"type": "subscribe", "id": "watch-0", "entity_id": "a/*"},
        {"type": "subscribe", "id": "watch-1", "entity_id": 'b/"x'},
    ]


def test_what_comes_before_the_subscription_counts_is_left_out() -> None:
    messages = [UPDATE, {"type": "subscribed", "id": "watch-0"}, GONE]
    watcher = Watcher("http://127.0.0.1:1", ["a/b"])
    assert list(watcher._told(messages)) == [GONE]  # noqa: SLF001 - a server that talks early, in one line


@pytest.mark.parametrize("end", ["farewell", "torn"])
def test_comes_back_and_subscribes_again_when_the_connection_ends(end: str) -> None:
    def first(connection: ServerConnection) -> None:
        say(connection, UPDATE)
        if end == "torn":
            connection.socket.shutdown(socket.SHUT_RDWR)

    sleeps = Sleeps()
    with contract_socket([first, lambda connection: say(connection, GONE)]) as flux:
        messages = list(islice(Watcher(flux.url, ["*"], sleep=sleeps), 5))
    kinds = [message["type"] for message in messages]
    assert kinds == ["connected", "state_update", "disconnected", "connected", "entity_deleted"]
    assert [subscription["entity_id"] for subscription in flux.subscriptions] == ["*", "*"]
    assert len(sleeps) == 1
    assert 0.1 <= sleeps[0] <= 0.2


def test_keeps_trying_with_growing_delays_while_nobody_listens() -> None:
    sleeps = Sleeps()
    with contract_socket([lambda connection: say(connection, UPDATE)]) as flux:
        messages = iter(Watcher(flux.url, ["*"], sleep=sleeps))
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
        next(iter(Watcher(url, ["*"])))


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
        next(iter(Watcher(flux.url, ["*"])))


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
        list(Watcher(flux.url, ["*"]))


def test_token_goes_into_the_handshake_and_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with contract_socket([lambda connection: say(connection, UPDATE)]) as flux:
        list(islice(Watcher(flux.url, ["*"], "secret-one"), 2))
    assert flux.headers[0]["authorization"] == "Bearer secret-one"
    mine = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not any("secret" in record.getMessage() for record in mine)
