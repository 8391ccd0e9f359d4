"""`GET /api/stream`: what a socket would be told, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from flux_actors.domain.pattern import prefix_of
from flux_actors.errors import Refused
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.door import Door
from flux_api.event_stream import EventStream
from flux_api.openapi import describe
from flux_api.protocol import CONNECTION, DoorProtocol
from flux_api.requests import door_of, principal_of
from flux_api.responses import EVENT_STREAM
from flux_api.socket_session import WHO_IS_IT
from flux_api.stream_query import StreamQuery, read_stream_query
from flux_api.tenancy import now_us
from flux_api.watcher import Watcher

router = APIRouter(tags=["live"])
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # some proxies hold answers back


@router.get(
    "/api/stream",
    **describe(
        "Watch entities as Server-Sent Events",
        query=["entity_pattern", "entity_prefix", "where", "fields", "format", "initial", "from", "metrics"],
        headers=["Last-Event-ID"],
    ),
)
async def stream(request: Request) -> StreamingResponse:
    """Tell what happens to some entities until the client goes."""
    door = door_of(request)
    asked = read_stream_query(_parameters(request), request.headers.get("last-event-id"), door.positions)
    principal = await principal_of(request)
    if principal.kind is Kind.UNKNOWN or principal.has_expired(now_us()):
        raise Refused(WHO_IS_IT, 401, {"WWW-Authenticate": "Bearer"})
    return _StreamResponse(door, principal, asked, request.scope.get(CONNECTION))


class _Reader:
    """A watcher of an event stream: `Reading`."""

    def __init__(self, door: Door, principal: Principal, asked: StreamQuery) -> None:
        self._door = door
        self._patterns = asked.patterns
        self._partitions = {p for pattern in asked.patterns for p in _partitions(door, pattern)}
        self.stream = EventStream(self, self._begin(asked), metrics=asked.metrics)
        self._watcher = Watcher(self.stream, outlet=self.stream)
        door.hub.join(self._watcher)
        try:
            door.hub.identify(self._watcher, principal)
            for pattern in asked.patterns:
                door.hub.subscribe(self._watcher, pattern, asked.options)
        except Refused:
            self.leave()
            raise

    def _begin(self, asked: StreamQuery) -> Mapping[int, int] | None:
        """Return where the reader says it is.

        Of several patterns each comes back in its own time, so there is no such place until all have.
        """
        places = asked.options.places or {}
        begin = {p: places[p] for p in self._partitions if p in places}
        return begin if len(asked.patterns) == 1 and len(begin) == len(self._partitions) else None

    def press(self) -> None:
        """Hear that too much waits for the network."""
        self._door.hub.press(self._watcher)

    def relieve(self) -> None:
        """Hear that nothing waits any more."""
        self._door.hub.relieve(self._watcher)

    def places(self) -> Mapping[int, int] | None:
        """Return how far the feeds have been told, unless something of before is still to come."""
        if self._watcher.lag is not None or not self._door.hub.is_settled(self._watcher):
            return None
        places = {p: place for pattern in self._patterns for p, place in self._told(pattern).items()}
        return places if len(places) == len(self._partitions) else None

    def leave(self) -> None:
        """Be told nothing any more."""
        self._door.hub.leave(self._watcher)

    def _told(self, pattern: str) -> Mapping[int, int]:
        text = self._door.hub.place_of(pattern)
        return self._door.positions(text) if text else {}


class _StreamResponse(StreamingResponse):
    """An answer without an end, which holds a place at the door as long as it goes on."""

    media_type = EVENT_STREAM

    def __init__(
        self, door: Door, principal: Principal, asked: StreamQuery, connection: DoorProtocol | None
    ) -> None:
        self._reader = _Reader(door, principal, asked)
        self._connection = connection
        super().__init__(self._reader.stream.parts(), headers=_HEADERS)
        if connection is None:
            return
        try:
            connection.begin_stream(self._reader.stream.end)
        except BaseException:
            self._reader.leave()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and let go of everything when the client has gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reader.leave()
            if self._connection is not None:
                self._connection.stream_ended()


def _parameters(request: Request) -> list[tuple[str, str]]:
    try:
        query: bytes = request.scope["query_string"]
        return parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Refused("the query must be percent-encoded UTF-8") from None


def _partitions(door: Door, pattern: str) -> tuple[int, ...]:
    prefix = prefix_of(pattern)
    return (
        door.partitioning.of_prefix(prefix) if prefix is not None else (door.partitioning.of_entity(pattern),)
    )
