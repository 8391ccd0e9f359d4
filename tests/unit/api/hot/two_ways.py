"""The same bytes sent to the hot way and to FastAPI alone, on one door."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import httptools
import uvicorn
from uvicorn.server import ServerState

from flux_actors.errors import FluxError
from flux_api.app import build_app
from flux_api.hot.heads import Head
from flux_api.hot.protocol import HotProtocol
from flux_api.hot.routes import Answered, HotRoutes
from flux_api.protocol import DoorProtocol
from flux_api.request_ids import RequestIds
from tests.unit.api.fake_transport import FakeTransport
from tests.unit.api.standing import Standing, until

MADE_UP = [
    (re.compile(rb"flux-position: [0-9.~]+"), b"flux-position: P"),
    (re.compile(rb'"lastUpdated":"[^"]+"'), b'"lastUpdated":"T"'),
    (re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), b"ID"),
]


class WatchedRoutes(HotRoutes):
    """Hot routes that count what was answered by them."""

    answered_hot = 0

    def entity(self, entity_id: str) -> bytes | None:
        found = super().entity(entity_id)
        self.answered_hot += found is not None
        return found

    def first_entity(self, request: bytes, target: bytes, head: Head) -> bytes | None:
        before = self.answered_hot
        found = super().first_entity(request, target, head)
        self.answered_hot = before + (found is not None)
        return found

    def post(self, head: Head, body: bytes, answered: Answered) -> bool:
        def counted(answer: bytes | FluxError) -> None:
            self.answered_hot += 1
            answered(answer)

        return super().post(head, body, counted)


class _Answers:
    """Counts whole answers in bytes."""

    def __init__(self) -> None:
        self.count = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.count += self._parser.get_status_code() >= 200  # not for a "go on"


@dataclass
class Way:
    """A connection and what came back on it."""

    protocol: Any
    transport: FakeTransport

    async def send(self, *chunks: bytes, answers: int = 1) -> bytes:
        """Send chunks and return what is answered to them: so many answers, or all before the end."""
        before = len(self.transport.written)
        for chunk in chunks:
            self.protocol.data_received(chunk)
            await asyncio.sleep(0)

        def whole() -> bool:
            counted = _Answers()
            counted.feed(self.transport.written[before:])
            return counted.count >= answers or self.transport.is_closing() or self.transport.ended

        await until(whole)
        return self.transport.written[before:]


class TwoWays:
    """A door with both ways in; each `way` is a new connection."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.hot = WatchedRoutes(standing.door)
        self.state = ServerState()
        self.tick(b"Tue, 24 Nov 2026 10:00:00 GMT")
        app = RequestIds(build_app(standing.door.settings, standing.door))
        self._config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False
        )

    def tick(self, date: bytes) -> None:
        """Let a second pass, as uvicorn notes it."""
        self.state.default_headers = [(b"date", date)]

    def hot_way(self) -> Way:
        return self._way(HotProtocol, hot=self.hot)

    def plain_way(self) -> Way:
        return self._way(DoorProtocol)

    def _way(self, kind: Any, **options: Any) -> Way:
        transport = FakeTransport()
        protocol = kind(self._config, self.state, {}, asyncio.get_running_loop(), **options)
        protocol.connection_made(transport)
        return Way(protocol, transport)


def alike(answer: bytes) -> bytes:
    """Return an answer without what the server makes up anew each time."""
    for pattern, word in MADE_UP:
        answer = pattern.sub(word, answer)
    return answer
