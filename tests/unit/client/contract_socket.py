"""A WebSocket of Flux for tests: each connection follows a script, and what clients say is recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import ServerConnection, serve

Script = Callable[[ServerConnection], None]


class ContractSocket:
    """What the clients of one test said."""

    def __init__(self) -> None:
        self.url = ""
        self.subscriptions: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []


def say(connection: ServerConnection, *messages: object) -> None:
    """Send each message as one frame."""
    for message in messages:
        connection.send(json.dumps(message))


@contextmanager
def contract_socket(
    scripts: Sequence[Script],
    *,
    subscriptions: int = 1,
    refusal: str | None = None,
) -> Iterator[ContractSocket]:
    """Serve one connection after the other; each first confirms its subscriptions, then runs its script.

    With `refusal`, subscriptions get that error.
    """
    socket = ContractSocket()
    waiting = list(scripts)

    def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        socket.paths.append(connection.request.path)
        socket.headers.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        script = waiting.pop(0)
        for _ in range(subscriptions):
            request = json.loads(connection.recv(timeout=10))
            socket.subscriptions.append(request)
            answer = (
                {"type": "error", "error": refusal}
                if refusal
                else {"type": "subscribed", "position": "0.1.4095"}
            )
            say(connection, answer | {"id": request["id"]})
        script(connection)

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        socket.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield socket
        finally:
            server.shutdown()
            thread.join()
