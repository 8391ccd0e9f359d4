"""The watcher: a WebSocket that yields what happens, and comes back when the connection breaks.

It comes back after 0.2 s, then twice as long each time up to 5 s, to whatever door is there, and goes on
behind what it was told last: nothing is missed and nothing comes twice (`following.py`). When that cannot be,
as before all of the present state had come, or when the server no longer knows what has happened since, it
begins anew. So a reader who keeps a table empties it at `{"type": "connected"}`, which each new beginning
yields first (one that goes on yields `{"type": "resumed"}`), and of all that a pattern names at
`{"type": "resync", "entity_id"}`; states follow. When a connection is gone it yields
`{"type": "disconnected", "error", "retry_in_s"}`.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from flux_actors import limits
from flux_actors.client.address import bearer, checked_url, error_text, is_loopback, unreachable
from flux_actors.client.following import Following, Message, Wish
from flux_actors.client.trust import trust
from flux_actors.errors import Refused, Unavailable

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
        wish: what to watch, and how.
        token: sent as `Authorization: Bearer` in the handshake.
        authorities: a PEM file of the authorities to trust under https; those of this machine if `None`.
        sleep: waits for so many seconds between two tries.

    Iterating raises `Unavailable` when the first connection fails (later ones are tried for ever) and
    `Refused` when the server refuses the handshake or a pattern.
    """

    def __init__(
        self,
        url: str,
        wish: Wish,
        token: str | None = None,
        *,
        authorities: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = checked_url(url)
        self._following = Following(wish)
        self._authorization = bearer(token)
        self._trust = trust(authorities) if self.url.startswith("https:") else None
        self._sleep = sleep

    def __iter__(self) -> Iterator[Message]:
        tries = 0  # since something last arrived
        arrived = False
        while True:
            reason = "the server closed the connection"
            try:
                with closing(self._connection()) as messages:
                    for message in messages:
                        arrived, tries = True, 0
                        yield message
            except Unavailable as error:
                if not arrived:
                    raise
                reason = error.message
            delay_s = min(_RETRY_S_MIN * 2**tries, _RETRY_S_MAX) * random.uniform(0.5, 1.0)
            tries += 1
            yield {"type": "disconnected", "error": reason, "retry_in_s": round(delay_s, 1)}
            self._sleep(delay_s)

    def _connection(self) -> Generator[Message, None, None]:
        """Yield one connection's messages until it ends."""
        with _errors_in_our_words(self.url), self._open() as socket:
            resumes = self._following.resumes
            for request in self._following.requests():
                socket.send(msgspec.json.encode(request).decode())
            yield {"type": "resumed" if resumes else "connected"}
            for frame in socket:
                for message in _messages(frame):
                    yield from self._following.take(message)

    def _open(self) -> ClientConnection:
        return connect(
            f"ws{self.url.removeprefix('http')}/api/ws",
            additional_headers={"Authorization": self._authorization} if self._authorization else None,
            ssl=self._trust,
            compression=None,  # the server declines it
            proxy=None if is_loopback(self.url) else True,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_FRAME_BYTES_MAX,
            logger=_quiet_log,
        )


def _messages(frame: str | bytes) -> Sequence[Message]:
    """Return what a frame holds: one message, or an array of them."""
    try:
        content = msgspec.json.decode(frame, type=Message | list[Message])
    except (msgspec.DecodeError, UnicodeError):
        raise Refused("the answer is not one of Flux; check FLUX_URL", 502) from None
    return content if isinstance(content, list) else [content]


@contextmanager
def _errors_in_our_words(url: str) -> Iterator[None]:
    """Turn what websockets raises into one sentence that says what to do."""
    try:
        yield
    except InvalidStatus as error:
        status = error.response.status_code
        message = error_text(error.response.body or b"") or f"{url} answered the WebSocket with {status}"
        raise (Refused(message, status) if 400 <= status < 500 else Unavailable(message)) from None
    except ConnectionClosed:
        raise Unavailable(f"the connection to Flux at {url} broke") from None
    except (OSError, WebSocketException) as error:
        raise unreachable(url, error) from None
