"""Introductions: what a process of the cluster is told that wants to use Flux without HTTP.

Whoever is introduced may log in to the log itself, so what its token is good for is checked in its own
process: a token keeps apart code that means well, it does not shut in code that does not. A token that the
router does not know is told nothing. What is told is good for a while; then the process asks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Refused
from flux_actors.log.connection import NatsAccess
from flux_actors.router.topology import LogRegistry
from flux_actors.tenancy.following import Follower
from flux_actors.tenancy.principal import ANYONE, Kind, Principal
from flux_actors.tenancy.registry import Registry

_NEEDS_ONE: Final = "this Flux asks for tokens: pass one of a namespace, flux.connect(token=…)"
_UNKNOWN: Final = "this token is unknown, revoked or expired; pass one of a namespace"
_UNAUTHORISED: Final = 401


@dataclass(frozen=True, slots=True)
class Introduction:
    """What somebody needs to use the log, and what they may do."""

    access: NatsAccess
    partitions: int
    spread: frozenset[str]
    principal: Principal
    log_replicas: int
    good_for_s: float | None  # then ask again; `None` for ever
    hidden: frozenset[str] = frozenset()  # namespaces that their own tokens alone may read
    generation: int = 1  # of the log

    @property
    def partitioning(self) -> Partitioning:
        """The rule by which events find their partition."""
        return Partitioning(self.partitions, self.spread)


class Introducer:
    """Introduces whoever shows a token; everybody, where nobody needs one."""

    def __init__(
        self,
        access: NatsAccess,
        registry: LogRegistry,
        log_replicas: int,
        tenants: Registry,
        follower: Follower | None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._access = access
        self._log_registry = registry
        self._log_replicas = log_replicas
        self._tenants = tenants
        self._follower = follower  # none where tokens are off
        self._now_us = now_us

    async def introduce(self, token: str | None) -> Introduction:
        """Return what the holder of `token` is to know.

        Raises:
            Refused: 401, tokens are on and this is none, or none any more.
            Unavailable: the namespaces cannot be read now.
        """
        if self._follower is None:
            return self._introduction(ANYONE, None)
        if token is None:
            raise Refused(_NEEDS_ONE, _UNAUTHORISED)
        await self._follower.read()  # it may have been made, or revoked, a moment ago
        principal = self._tenants.holder(token)
        if principal.kind is not Kind.HOLDER or principal.has_expired(self._now_us()):
            raise Refused(_UNKNOWN, _UNAUTHORISED)
        return self._introduction(principal, limits.introduction_s)

    def _introduction(self, principal: Principal, good_for_s: float | None) -> Introduction:
        registry = self._log_registry
        return Introduction(
            self._access,
            registry.partitions,
            frozenset(registry.spread),
            principal,
            self._log_replicas,
            good_for_s,
            frozenset(self._tenants.hidden),
            registry.generation,
        )
