"""Claims: one holder of an entity at a time, for as long as it says so again.

A claim is the property `claim` of its entity, with a lease. It is held while that lease runs, by the log's
clock: from then on it is free, whether or not the event that ends the lease has come. Its token is the packed
position of the event that took it, so each later one is greater, and whoever is told the token of a work
can refuse what an earlier holder still sends.
"""

from __future__ import annotations

from typing import Any, Final

from flux_actors.domain.clock import iso_of
from flux_actors.domain.leases import Leases
from flux_actors.domain.terms import ACQUIRE, CLAIM, RELEASE, Claim

_MS_US: Final = 1_000


def held_claim(
    properties: dict[str, Any] | None, leases: Leases | None, clock_us: int
) -> dict[str, Any] | None:
    """Return the claim on an entity that somebody holds at a time of the log's clock."""
    if properties is None or leases is None or leases.properties.get(CLAIM, 0) <= clock_us:
        return None
    held = properties.get(CLAIM)
    return held if isinstance(held, dict) else None


def claim_applies(claim: Claim, held: dict[str, Any] | None) -> bool:
    """Whether what somebody wants of a claim can be done while it is held so, or by nobody."""
    if claim.verb == ACQUIRE:
        return held is None
    return held is not None and held["holder"] == claim.holder and held["token"] == claim.token


def claim_effect(claim: Claim, position: int, clock_us: int) -> dict[str, Any]:
    """Return the properties that it sets at a position, once it applies."""
    if claim.verb == RELEASE:
        return {CLAIM: None}
    token = position if claim.token is None else claim.token
    expires_at = iso_of(clock_us + claim.ttl_ms * _MS_US)
    return {CLAIM: {"holder": claim.holder, "token": token, "expires_at": expires_at}}
