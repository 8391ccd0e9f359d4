"""Sight: which events of the log may be shown to a principal.

The log holds everything, and who reads it itself must leave out what doors would not show: private namespaces
of others, and what was written under a name before its present owner had it.
"""

from __future__ import annotations

import time

from nats.aio.client import Client

from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.position import Packed, pack
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.router.succession import registered
from flux_actors.router.topology import REGISTRY_BUCKET, TENANCY_BUCKET
from flux_actors.tenancy.authorising import may_read
from flux_actors.tenancy.following import Follower
from flux_actors.tenancy.principal import UNKNOWN, Kind, Principal
from flux_actors.tenancy.registry import Registry


class Sight:
    """What a principal may be shown of one partition, as the tenants are now."""

    def __init__(self, principal: Principal, registry: Registry, partition: int) -> None:
        was_revoked = bool(principal.token_id) and not registry.has_token(principal.token_id)
        self._principal = UNKNOWN if was_revoked else principal
        self._registry = registry
        self._floors = {
            record.name: pack(past[partition] + 1, 0)
            for record in registry.all()
            if partition in (past := registry.past_of(record.name))
        }
        self._now_us = time.time_ns() // 1_000
        self.is_all = not self._floors and (principal.kind is Kind.ANYONE or not registry.hidden)

    def shows(self, entity_id: str, position: Packed) -> bool:
        """Whether the event of an entity at a packed position may be shown."""
        if position < self._floors.get(namespace_of(entity_id), 0):
            return False
        return may_read(self._principal, entity_id, self._registry, self._now_us)


async def read_tenants(client: Client | None, principal: Principal) -> Registry:
    """Return the tenants; none if nobody is asked who he is.

    Raises:
        Unavailable: their store cannot be reached.
    """
    registry = Registry()
    if client is not None and principal.kind is not Kind.ANYONE:
        log = await registered(await JetStreamKeyValue.open(client, REGISTRY_BUCKET))
        if log is not None:
            registry.in_this_log = log.past_of
        store = await JetStreamKeyValue.open(client, TENANCY_BUCKET)
        await Follower(store, registry, _nothing).read()
    return registry


def _nothing() -> None:
    """Nobody wants to hear of changes."""
