"""Holding a claim: taken through the log, renewed for as long as it is wanted, let go at the end.

Whether a claim was taken is decided where its event stands in the log. So the entity is read with that event
applied: the claim is ours if its token is our event's position. By this process's clock it is held from the
moment it was asked for, for as long as it was asked for, and never longer than the log says.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog

from flux_actors import limits
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import ACQUIRE, CLAIM, RELEASE, RENEW, Claim, Terms
from flux_actors.errors import AlreadyClaimed, FluxError, Refused, Unavailable
from flux_actors.native.events import ttl_ms_of
from flux_actors.native.link import Link
from flux_actors.native.publishing import commit

_log = structlog.get_logger(__name__)
_STREAM: Final = "flux.claim"
_SOURCE: Final = "flux-claims"
_TRIES: Final = 5
_CONFLICT: Final = 409
_RENEWALS: Final = 3  # in the time of a claim
_UNSTEADY: Final = "the claim changes hands all the time; try again in a second"


class _Held(NamedTuple):
    holder: str
    token: int
    expires_at: str


def new_holder() -> str:
    """Return a name that nobody else has."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(6)}"


def check_holder(holder: object) -> str:
    """Return the name of a holder; raises `Refused` for what can be none."""
    if not isinstance(holder, str) or not 1 <= len(holder) <= limits.source_chars_max:
        raise Refused(f"holder must be a string of 1 to {limits.source_chars_max} characters")
    return holder


class Claiming:
    """One claim, from taking it to letting it go."""

    def __init__(self, link: Link, entity_id: str, holder: str | None, ttl_s: float) -> None:
        self._link = link
        self.entity_id = link.standing.check_write(entity_id)
        self.holder = new_holder() if holder is None else check_holder(holder)
        self._ttl_ms = ttl_ms_of(ttl_s, least=1)
        self.token = -1
        self.expires_at = ""
        self._good_until = 0.0
        self._lost = False
        self._renewing: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it by now."""
        return self._lost or time.monotonic() >= self._good_until

    async def take(self) -> int:
        """Take the claim, have it renewed from now on, and return where it stands.

        Raises:
            AlreadyClaimed: somebody else holds it. Unavailable: it is not known what became of it.
        """
        for _ in range(_TRIES):
            asked_at = time.monotonic()
            position = await self._publish(Claim(ACQUIRE, self.holder, self._ttl_ms))
            held = await self._held(position)
            if held is None:
                continue  # it was free again before we could see who had it
            if held.holder != self.holder:
                raise _already(self.entity_id, held)
            if held.token == position:
                return self._take(held, asked_at, position)
            self.token, self.expires_at = held.token, held.expires_at
            with suppress(AlreadyClaimed):  # it ran out before it was renewed: it is there to be taken
                return await self._renew()
        raise Unavailable(_UNSTEADY)

    @property
    def partition(self) -> int:
        """The partition that decides on it."""
        return self._link.partitioning.of_entity(self.entity_id)

    async def close(self) -> None:
        """Let it go; if that cannot be said now, it ends by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        if not self._lost:
            self._lost = True
            try:
                await self._publish(Claim(RELEASE, self.holder, 0, self.token))
            except FluxError as error:
                _log.warning("claim.not_released", entity=self.entity_id, reason=error.message)

    def _take(self, held: _Held, asked_at: float, position: int) -> int:
        self.token, self.expires_at = held.token, held.expires_at
        self._good_until = asked_at + self._ttl_ms / 1_000
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._keep())
        return position

    async def _keep(self) -> None:
        """Renew it in good time, again and again."""
        wait_s = self._ttl_ms / 1_000 / _RENEWALS
        while not self.lost:
            await asyncio.sleep(wait_s)
            try:
                await self._renew()
                wait_s = self._ttl_ms / 1_000 / _RENEWALS
            except Unavailable:
                wait_s = min(wait_s, self._ttl_ms / 10_000)
            except Refused as refused:
                self._lost = True
                _log.warning("claim.lost", entity=self.entity_id, reason=refused.message)

    async def _renew(self) -> int:
        """Renew it; raises `AlreadyClaimed` when it is ours no longer."""
        asked_at = time.monotonic()
        position = await self._publish(Claim(RENEW, self.holder, self._ttl_ms, self.token))
        held = await self._held(position)
        if held is None or (held.holder, held.token) != (self.holder, self.token):
            raise _already(self.entity_id, held)
        if held.expires_at == self.expires_at:  # nothing was renewed: it had run out, and waits for its end
            raise _already(self.entity_id, None)
        return self._take(held, asked_at, position)

    async def _publish(self, claim: Claim) -> int:
        """Publish what is wanted of the claim, and return the position of that."""
        await self._link.standing.current()
        self._link.standing.check_write(self.entity_id)
        now_ms = time.time_ns() // 1_000_000
        said = {"verb": claim.verb, "holder": claim.holder, "ttl_ms": claim.ttl_ms, "token": claim.token}
        event_id = self._link.ids.take(now_ms)
        event = Event(
            self.entity_id,
            None,
            event_id,
            named_by_client=False,
            source=_SOURCE,
            stream=_STREAM,
            timestamp_ms=now_ms,
            rest={CLAIM: said},
        )
        _, position = await commit(self._link, with_terms(event, Terms(claim=claim)))
        return position

    async def _held(self, position: int) -> _Held | None:
        """Return the claim that the entity shows with everything up to a position applied."""
        rows = await self._link.reading.rows([self.entity_id], lambda _: position)
        row = rows.get(self.entity_id)
        found: Any = (row.properties or {}).get(CLAIM) if row is not None else None
        if not isinstance(found, dict) or not {"holder", "token", "expires_at"} <= found.keys():
            return None
        return _Held(found["holder"], found["token"], found["expires_at"])


def _already(entity_id: str, held: _Held | None) -> AlreadyClaimed:
    reason = (
        f"{entity_id} is claimed by {held.holder}"
        if held is not None
        else f"the claim on {entity_id} is over"
    )
    more = {"holder": held.holder if held is not None else None, CLAIM: held._asdict() if held else None}
    return AlreadyClaimed(reason, _CONFLICT, more=more)
