"""A session: what the messages of one socket mean, whichever transport carries them.

A publish goes to the same committers as one over HTTP and is answered when it is durable; many may be
under way at once. Whoever has too many of them unanswered, or does not read what it is sent, is itself
not read until that is better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.position import text_of, text_of_all
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.cached import CachedEntity
from flux_api.door import Door
from flux_api.frames import framed, message
from flux_api.presences import tied
from flux_api.publishing import Outcome
from flux_api.requests import too_large
from flux_api.socket_pace import TOO_FAST, Pace, Verdict
from flux_api.socket_requests import SocketRequest, read_request
from flux_api.submission import Published
from flux_api.tenancy import now_us
from flux_api.watcher import Link, Watcher
from flux_api.watching.options import PLAIN, Options, options_of


class SocketLink(Link, Protocol):
    """The way to one socket, and from it."""

    def read_on(self) -> None:
        """Read again what the client says, soon; the session had been `busy`."""
        ...

    def send_away(self, reason: str) -> None:
        """End the socket, for the client keeps to no rule; hear nothing more of it."""
        ...


class _Ack(msgspec.Struct, frozen=True, tag="ack", tag_field="type", rename="camel"):
    id: Any
    event_id: str
    position: str


WHO_IS_IT: Final = "this token is unknown, revoked or expired; get a valid one and authenticate again"
_encode: Final = msgspec.json.Encoder().encode


class Session:
    """One client on one socket, from the handshake to the end."""

    def __init__(self, door: Door, link: SocketLink, principal: Principal) -> None:
        self._door = door
        self._link = link
        self._watcher = Watcher(link)
        self._pressed = False
        self._publishes = 0  # without an answer yet
        self._publish_bytes = 0
        self._acks: list[bytes] = []
        self._gets: set[asyncio.Future[CachedEntity | None]] = set()
        self._auth: asyncio.Task[Principal] | None = None
        self._open = True
        self._owner: str | None = None  # the name under which entities are tied to this socket
        self._pace = Pace()
        door.hub.join(self._watcher)
        door.hub.identify(self._watcher, principal)

    @property
    def busy(self) -> bool:
        """Whether the client must wait before it is read again."""
        return (
            self._pressed
            or self._auth is not None
            or self._publishes + len(self._gets) >= limits.socket_publishes_max
            or self._publish_bytes >= limits.socket_publish_bytes_max
        )

    def close(self) -> None:
        """End: nothing is sent any more; what is being published goes on."""
        if self._open:
            self._open = False
            self._door.hub.leave(self._watcher)
            if self._owner is not None:
                self._door.presences.leave(self._owner)
            for get in self._gets:
                get.cancel()
            if self._auth is not None:
                self._auth.cancel()

    def press(self) -> None:
        """The transport is filling up: the client reads too slowly."""
        self._pressed = True
        self._door.hub.press(self._watcher)

    def relieve(self) -> None:
        """The transport is empty again."""
        self._pressed = False
        if self._open:
            self._door.hub.relieve(self._watcher)
            self._link.read_on()

    def hear(self, text: bytes) -> None:
        """Do what one message asks, or say why not."""
        try:
            request = read_request(text)
        except Refused as error:
            if self._may_ask(len(text)):
                self._tell(type="error", error=error.message)
            return
        try:
            if request.type == "publish":
                self._publish(request, len(text))
            elif self._may_ask(len(text), request):
                self._obey(request)
        except Refused as error:
            self._tell(type="error", error=error.message)

    def _may_ask(self, size: int, request: SocketRequest | None = None) -> bool:
        """Whether a message of `size` bytes is one that the client may send now; if not, say so."""
        is_auth = request is not None and request.type == "auth"
        match self._pace.judge(size, is_auth=is_auth):
            case Verdict.TAKE:
                return True
            case Verdict.REFUSE if request is not None and request.id is not None:
                self._refuse(request.id, TOO_FAST)
            case Verdict.REFUSE:
                self._tell(type="error", error=TOO_FAST.message)
            case Verdict.LEAVE:
                self._link.send_away("too many messages, and none of them waited")
        return False

    def _obey(self, request: SocketRequest) -> None:
        match request.type:
            case "get":
                self._get(request)
            case "subscribe":
                self._subscribe(request)
            case "auth":
                self._authenticate(request)
            case "unsubscribe":
                self._door.hub.unsubscribe(self._watcher, request.pattern)
            case _:
                raise Refused('type must be "subscribe", "unsubscribe", "publish", "get" or "auth"')

    def _subscribe(self, request: SocketRequest) -> None:
        try:
            options = options_of(request, self._door.positions)
            self._door.hub.subscribe(self._watcher, request.pattern, options, request.id)
        except Refused as error:
            if request.id is None:
                raise
            self._refuse(request.id, error)
            return
        if request.id is not None or options != PLAIN:
            self._tell_subscribed(request, options)

    def _tell_subscribed(self, request: SocketRequest, options: Options) -> None:
        """Answer with the place from which a client can resume, in case it has to at once."""
        fields: dict[str, Any] = {} if request.id is None else {"id": request.id}
        fields["entity_id"] = request.pattern
        position = self._door.hub.place_of(request.pattern)
        if options.places is not None:
            position = text_of_all(options.places)
        if position:
            fields["position"] = position
        self._tell(type="subscribed", **fields)

    def _authenticate(self, request: SocketRequest) -> None:
        """Find out whose token it is; what the client says meanwhile waits."""
        if not isinstance(request.token, str) or not request.token:
            raise Refused('auth needs a token: {"type":"auth","token":"flux_…"}')
        found = asyncio.ensure_future(self._door.tenancy.principal_of(f"Bearer {request.token}"))
        self._auth = found
        found.add_done_callback(partial(self._authenticated, request.id))

    def _authenticated(self, request_id: Any, found: asyncio.Task[Principal]) -> None:
        self._auth = None
        if found.cancelled() or not self._open:
            return
        error = found.exception()
        if isinstance(error, FluxError):
            self._refuse(request_id, error)
        elif found.result().kind is Kind.UNKNOWN or found.result().has_expired(now_us()):
            self._refuse(request_id, Refused(WHO_IS_IT))
        else:
            self._door.hub.identify(self._watcher, found.result())
            self._tell(type="authenticated", id=request_id)
        self._link.read_on()

    def _publish(self, request: SocketRequest, size: int) -> None:
        bytes_max = self._door.config.config.body_size_limit_single_bytes
        try:
            if size > bytes_max + limits.socket_request_bytes_max:
                raise too_large(bytes_max)
            principal = self._watcher.principal
            if principal.kind is Kind.HOLDER and not self._door.tenancy.fresh:
                raise Unavailable("tokens cannot be checked now; try again in a second")
            done = self._answering(request, size, principal)
            if request.presence in (None, False):
                self._door.publisher.submit(request, principal, done)
            else:
                self._door.publisher.submit_event(self._tied(request), principal, done)
        except FluxError as error:
            self._not_taken(request, size, error)
        else:
            self._publishes += 1
            self._publish_bytes += size

    def _not_taken(self, request: SocketRequest, size: int, error: FluxError) -> None:
        if self._may_ask(size, request):  # no namespace's rate counts it
            self._refuse(request.id, error)

    def _answering(
        self, request: SocketRequest, size: int, principal: Principal
    ) -> Callable[[Outcome], None]:
        """Return what hears what became of a publish."""
        return partial(self._published, request.id, size, principal)

    def _tied(self, request: SocketRequest) -> Event:
        """Return the event of a publish that ties its entity to this socket."""
        if request.presence is not True:
            raise Refused("presence must be true or left out")
        if self._owner is None:
            self._owner = self._door.presences.new_owner()
        if self._door.presences.count(self._owner) >= limits.presences_max:
            raise Refused(f"one socket may have at most {limits.presences_max} entities tied to it")
        return tied(self._door.publisher.read(request), self._owner)

    def _tie(self, event: Event, principal: Principal) -> None:
        """Have an entity live as long as this socket, which may be gone already."""
        terms = terms_in(event)
        owner = None if terms is None else terms.owner
        if owner is not None and event.entity_id is not None:
            if self._open:
                self._door.presences.tie(owner, event.entity_id, principal, self._untied)
            else:
                self._door.presences.leave(owner, event.entity_id)

    def _untied(self, entity_id: str) -> None:
        """Tell of an entity that does not live as long as this socket any more."""
        text = "is not tied to this socket any more; publish it with presence again if it is to be"
        self._tell(type="error", entity_id=entity_id, error=f"{entity_id} {text}")

    def _published(self, request_id: Any, size: int, principal: Principal, outcome: Outcome) -> None:
        was_busy = self.busy
        self._publishes -= 1
        self._publish_bytes -= size
        if isinstance(outcome, Published):
            self._tie(outcome.event, principal)
        if not self._open:
            return
        if isinstance(outcome, FluxError):
            self._refuse(request_id, outcome)
        else:
            self._acknowledge(request_id, outcome)
        if was_busy and not self.busy:
            self._link.read_on()

    def _acknowledge(self, request_id: Any, done: Published) -> None:
        """Have an ack sent; those of one block go together, for each write of its own is a system call."""
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._send_acks)
        ack = _Ack(request_id, done.event.event_id, text_of(done.partition, done.position))
        self._acks.append(framed(_encode(ack)))

    def _send_acks(self) -> None:
        acks = b"".join(self._acks)
        self._acks.clear()
        if self._open:
            self._link.write(acks)

    def _get(self, request: SocketRequest) -> None:
        try:
            entity_id = check_entity_id(request.pattern)
        except Refused as error:
            self._refuse(request.id, error)
            return
        if not self._door.tenancy.may_read(self._watcher.principal, entity_id):
            self._tell(type="entity", id=request.id, entity=None)
            return
        kept = self._door.view.look_up(entity_id)
        if kept is not None and (self._door.tenancy.fresh or not self._door.tenancy.hides_any([entity_id])):
            self._tell_entity(request.id, kept)
            return
        get = asyncio.ensure_future(self._fetched(entity_id))
        self._gets.add(get)
        get.add_done_callback(partial(self._got, request.id))

    async def _fetched(self, entity_id: str) -> CachedEntity | None:
        """Return an entity, `None` when this client is not shown it by now."""
        await self._door.tenancy.current()
        entity = await self._door.view.get(entity_id)
        return entity if self._door.tenancy.may_read(self._watcher.principal, entity_id) else None

    def _got(self, request_id: Any, get: asyncio.Future[CachedEntity | None]) -> None:
        was_busy = self.busy
        self._gets.discard(get)
        if get.cancelled() or not self._open:
            return
        error = get.exception()
        if isinstance(error, FluxError):
            self._refuse(request_id, error)
        else:
            self._tell_entity(request_id, get.result())
        if was_busy and not self.busy:
            self._link.read_on()

    def _tell_entity(self, request_id: Any, entity: CachedEntity | None) -> None:
        shown = entity.public() if entity is not None and entity.lives else None
        self._tell(type="entity", id=request_id, entity=shown)

    def _refuse(self, request_id: Any, error: FluxError) -> None:
        more = error.more if isinstance(error, Refused) else {}
        self._tell(type="error", id=request_id, error=error.message, **more)

    def _tell(self, **fields: Any) -> None:
        self._link.write(framed(message(**fields).encode()))


def session_for(door: Door, link: SocketLink, principal: Principal) -> Session:
    """Return the session of a new socket."""
    if door.traces is None:
        return Session(door, link, principal)
    from flux_api.tracing.sockets import TracedSession  # noqa: PLC0415 - loaded only where traces are on

    return TracedSession(door.traces, door, link, principal)
