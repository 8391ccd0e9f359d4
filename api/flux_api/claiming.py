"""Claims at the door: from what a client asks to an event, and from what became of it to an answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import ACQUIRE, CLAIM, RELEASE, RENEW, Claim, Terms, check_ttl
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.event_ids import EventIds
from flux_actors.surroundings import HERE, Surroundings
from flux_actors.tenancy.principal import Principal
from flux_api.publishing import Outcome, Publisher, into
from flux_api.view import LiveView

_SOURCE: Final = "flux-claims"
STREAM: Final = "flux.claim"
_TRIES: Final = 5  # of one who holds a claim that ends whenever he renews it
_CONFLICT: Final = 409
_UNSTEADY: Final = "the claim changes hands all the time; try again in a second"


class Order(NamedTuple):
    """What a client wants of a claim."""

    entity_id: str
    holder: str
    ttl_ms: int = 0
    token: int | None = None
    event_id: str | None = None


def read_order(body: object, *, releases: bool = False) -> Order:
    """Return what a request asks; raises `Refused` for what it cannot."""
    if not isinstance(body, dict):
        raise Refused('the body must be {"entity_id":"…","holder":"…","ttl_ms":30000}')
    entity_id = check_not_core(check_entity_id(body.get("entity_id")))
    holder, token, event_id = body.get("holder"), body.get("token"), body.get("eventId")
    if not isinstance(holder, str) or not 1 <= len(holder) <= limits.source_chars_max:
        raise Refused(f"holder is required and must be a string of 1 to {limits.source_chars_max} characters")
    if token is not None and (not isinstance(token, int) or isinstance(token, bool)):
        raise Refused("token must be the number that the claim was answered with")
    if event_id is not None and (
        not isinstance(event_id, str) or not 1 <= len(event_id) <= limits.event_id_chars_max
    ):
        raise Refused(f"eventId must be a string of 1 to {limits.event_id_chars_max} characters")
    ttl_ms = 0 if releases else check_ttl(body.get("ttl_ms"), "ttl_ms", least=1)
    return Order(entity_id, holder, ttl_ms, token, event_id)


class Claims:
    """Takes, renews and releases claims through one door."""

    def __init__(self, publisher: Publisher, view: LiveView, surroundings: Surroundings = HERE) -> None:
        self._now_us = surroundings.now_us
        self._publisher = publisher
        self._view = view
        self._ids = EventIds(surroundings.event_id)

    async def take(self, order: Order, principal: Principal) -> dict[str, Any]:
        """Return the claim that is now the holder's: a new one, or the one that it has, renewed.

        Raises:
            Refused: 409, somebody else has it, and who. Unavailable: it is not known what became of it.
        """
        if order.token is not None:
            return await self._renewed(order, order.token, principal)
        for _ in range(_TRIES):
            refusal = await self._publish(order, Claim(ACQUIRE, order.holder, order.ttl_ms), principal)
            held = await self._held(order.entity_id)
            if refusal is None:
                if held is None or held["holder"] != order.holder:
                    raise _conflict(order, held)  # it was taken, and is over already
                return _answer(order, held)
            if held is None:
                continue  # it was free again before we could see who had it
            if held["holder"] != order.holder:
                raise _conflict(order, held)
            with suppress(Refused):  # it ran out before it was renewed: then it is there to be taken
                return await self._renewed(order, held["token"], principal)
        raise Unavailable(_UNSTEADY)

    async def _renewed(self, order: Order, token: int, principal: Principal) -> dict[str, Any]:
        """Return a claim that its holder has renewed; raises `Refused` when it has it no longer."""
        refusal = await self._publish(order, Claim(RENEW, order.holder, order.ttl_ms, token), principal)
        held = await self._held(order.entity_id)
        if refusal is not None or held is None or (held["holder"], held["token"]) != (order.holder, token):
            raise _conflict(order, held)
        return _answer(order, held)

    async def release(self, order: Order, principal: Principal) -> dict[str, Any]:
        """Let a claim go that the holder has; one that nobody has is free already.

        A holder may have taken it at another door, of which this one has not heard; once refused, it has.

        Raises:
            Refused: 409, somebody else has it.
        """
        for _ in range(_TRIES):
            token = order.token
            if token is None:
                held = await self._held(order.entity_id)
                token = held["token"] if held is not None and held["holder"] == order.holder else -1
            refusal = await self._publish(order, Claim(RELEASE, order.holder, 0, token), principal)
            held = None if refusal is None else await self._held(order.entity_id)
            if held is None or (held["holder"], held["token"]) == (order.holder, token):  # it has run out
                return {
                    "entity_id": order.entity_id,
                    "holder": order.holder,
                    "released": refusal is None,
                }
            if order.token is not None or held["holder"] != order.holder:
                raise _conflict(order, held)
        raise Unavailable(_UNSTEADY)

    async def _publish(self, order: Order, claim: Claim, principal: Principal) -> FluxError | None:
        """Publish what is wanted and return why it did not apply, `None` when it did."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._publisher.submit_event(self._event(order, claim), principal, into(answer))
        outcome = await answer
        if isinstance(outcome, Refused) and outcome.status == _CONFLICT:
            return outcome
        if isinstance(outcome, FluxError):
            raise outcome
        return None

    def _event(self, order: Order, claim: Claim) -> Event:
        now_ms = self._now_us() // 1_000
        said = {"verb": claim.verb, "holder": claim.holder, "ttl_ms": claim.ttl_ms, "token": claim.token}
        event = Event(
            order.entity_id,
            None,
            order.event_id or self._ids.take(now_ms),
            order.event_id is not None,
            _SOURCE,
            STREAM,
            now_ms,
            rest={CLAIM: said},
        )
        return with_terms(event, Terms(claim=claim))

    async def _held(self, entity_id: str) -> dict[str, Any] | None:
        """Return the claim that an entity shows, whether or not it has run out meanwhile."""
        properties = (await self._view.get(entity_id)).properties or {}
        held = properties.get(CLAIM)
        return held if isinstance(held, dict) and {"holder", "token", "expires_at"} <= held.keys() else None


def _answer(order: Order, held: dict[str, Any]) -> dict[str, Any]:
    return {"entity_id": order.entity_id} | held


def _conflict(order: Order, held: dict[str, Any] | None) -> Refused:
    """Return what those are told who do not get a claim: who has it."""
    if held is None:
        reason = f"{order.holder} has no claim on {order.entity_id} any more"
    elif held["holder"] == order.holder:
        reason = f"the claim of {order.holder} on {order.entity_id} has run out or has another token"
    else:
        reason = f"{order.entity_id} is claimed by {held['holder']}"
    holder = None if held is None else held["holder"]
    return Refused(reason, _CONFLICT, more={"holder": holder, CLAIM: held})
