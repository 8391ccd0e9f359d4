"""The watcher: a WebSocket that yields what happens, and comes back when the connection breaks.

A connection subscribes with `initial`, so the state comes first and then every change with no gap. After
a break the watcher connects again, after 0.2 s, then twice as long each time up to 5 s, and subscribes
with `initial` again. Changes that were missed meanwhile are in that state, except that deleted entities
are just no longer in it. So the watcher says where such a new beginning is: it yields
`{"type": "connected"}` before each connection's messages, and a reader who keeps a table empties it
there. It yields `{"type": "disconnected", "error", "retry_in_s"}` when a connection is gone.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from flux_actors import limits
from flux_actors.client.http import bearer, checked_url, error_text, is_loopback, unreachable
from flux_actors.errors import Refused, Unavailable

Message = dict[str, Any]

_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 1.0  # whoever ends a watch should not wait for the server's farewell
_RETRY_S_MIN: Final = 0.2
_RETRY_S_MAX: Final = 5.0
_FRAME_BYTES_MAX: Final = limits.body_batch_bytes_range[1]

# websockets writes the handshake with its Authorization header into its log at level DEBUG.
_quiet_log = logging.getLogger(f"{__name__}.websocket")
_quiet_log.setLevel(logging.INFO)


class Watcher:
    """Iterate over it for the messages of some entities, decoded, one by one.

    Arguments:
        url: where Flux listens, such as `http://localhost:3000`.
        patterns: entity ids, `namespace/*` or `*`.
        token: sent as `Authorization: Bearer` in the handshake.
        where: a condition on the properties, such as `level>3`.
        sleep: waits for so many seconds between two tries.

    Iterating raises `Unavailable` when the first connection fails (later ones are tried for ever) and
    `Refused` when the server refuses the handshake or a pattern.
    """

    def __init__(
        self,
        url: str,
        patterns: Sequence[str],
        token: str | None = None,
        *,
        where: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = checked_url(url)
        self._patterns = tuple(patterns)
        self._authorization = bearer(token)
        self._where = where
        self._sleep = sleep
        self._tries = 0  # since the last frame

    def __iter__(self) -> Iterator[Message]:
        yield from self._connection()
        while True:
            yield self._gone("the server closed the connection")
            try:
                yield from self._connection()
            except Unavailable as error:
                yield self._gone(error.message)

    def _connection(self) -> Iterator[Message]:
        """Yield one connection's messages until it ends."""
        with _errors_in_our_words(self.url), self._open() as socket:
            for number, pattern in enumerate(self._patterns):
                socket.send(msgspec.json.encode(self._subscription(number, pattern)).decode())
            yield {"type": "connected"}
            for frame in socket:
                self._tries = 0
                yield from map(_accepted, _messages(frame))
