"""What one who was introduced may do, for as long as the introduction is good.

Half of that time it is taken as it is; then it is asked for anew, beside what goes on; and when it is over
nothing is done before the router has answered. So a router that is away for some seconds holds nobody up, and
a token that was revoked ends within `introduction_s`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from flux_actors.domain.entity_id import check_entity_id, check_not_core, namespace_of
from flux_actors.errors import FluxError, Refused
from flux_actors.native.ticket import Ticket
from flux_actors.router.introductions import Introduction
from flux_actors.tenancy.authorising import Action, authorise, may_read
from flux_actors.tenancy.namespace import Namespace, Scope, Visibility
from flux_actors.tenancy.principal import Kind, Principal
from flux_actors.tenancy.registry import Registry

_log = structlog.get_logger(__name__)
_NARROW = frozenset({Scope.READ, Scope.WRITE})
Introduce = Callable[[], Awaitable[Introduction]]


class Standing:
    """What a ticket is good for."""

    def __init__(
        self,
        ticket: Ticket,
        introduction: Introduction,
        introduce: Introduce,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ticket = ticket
        self._introduce = introduce
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self.refused: Refused | None = None
        self._take(introduction, clock())

    async def current(self) -> None:
        """Return when what is known is young enough to go by.

        Raises:
            Refused: the token is good no longer. Unavailable: the router cannot be asked now.
        """
        age_s = self._clock() - self._asked_at
        if self._good_for_s is None or age_s < self._good_for_s / 2:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        if age_s >= self._good_for_s or self.refused is not None:
            await asyncio.shield(self._asking)

    def check_write(self, entity_id: object) -> str:
        """Return an id that may be written; raises `Refused` for any other."""
        checked = check_not_core(check_entity_id(entity_id))
        principal = self.principal
        if principal.kind is not Kind.ANYONE and not principal.may_write(checked, _now_us()):
            authorise(principal, Action.WRITE, namespace_of(checked), checked, self._registry, _now_us())
        return checked

    def writes(self) -> str | None:
        """Return with what all ids begin that may be written now; `None` when that is not so simple."""
        principal = self.principal
        if principal.kind is Kind.ANYONE:
            return ""
        return None if principal.has_expired(_now_us()) else principal.writable

    def check_read(self, entity_id: object) -> str:
        """Return an id that may be read; raises `Refused` for any other: what is hidden is not there."""
        checked = check_entity_id(entity_id)
        namespace = namespace_of(checked)
        authorise(self.principal, Action.READ, namespace, checked, self._registry, _now_us())
        return checked

    def check_prefix(self, prefix: object) -> str:
        """Return how ids begin that may be read; of those that may not, nothing is shown."""
        if not isinstance(prefix, str):
            raise Refused('a prefix must be a string such as "home/"')
        if "/" in prefix:
            self.check_read(prefix)
        return prefix

    def may_read(self, entity_id: str) -> bool:
        """Whether an entity is there for who was introduced."""
        return not self._registry.hidden or may_read(self.principal, entity_id, self._registry, _now_us())

    def _take(self, introduction: Introduction, asked_at: float) -> None:
        self.principal = _narrowed(introduction.principal, self._ticket.namespace)
        self._registry = _registry_of(introduction)
        self._good_for_s = introduction.good_for_s
        self._asked_at = asked_at
        self.refused = None

    async def _ask(self) -> None:
        asked_at = self._clock()
        try:
            self._take(await self._introduce(), asked_at)
        except Refused as refused:
            self.refused = refused
            raise

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if not asking.cancelled() and asking.exception() is not None:
            error = asking.exception()
            _log.warning("native.not_introduced", reason=getattr(error, "message", type(error).__name__))

    async def close(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError, FluxError):
                await self._asking


def _narrowed(principal: Principal, namespace: str | None) -> Principal:
    """Return a principal that writes one namespace alone.

    Raises:
        Refused: 403, its token is another namespace's.
    """
    if namespace is None or principal.namespace == namespace:
        return principal
    if principal.kind is Kind.ANYONE:
        return Principal.holder(namespace, _NARROW, "", None, "")
    raise Refused(f"this token is one of the namespace {principal.namespace!r}, not of {namespace!r}", 403)


def _registry_of(introduction: Introduction) -> Registry:
    """Return the namespaces as far as they decide what may be read."""
    registry = Registry()
    for name in introduction.hidden:
        if name == introduction.principal.namespace:
            registry.apply(Namespace("", name, 0, Visibility.PRIVATE, "", {}))
        else:
            registry.seal(name)
    return registry


def _now_us() -> int:
    return time.time_ns() // 1_000
