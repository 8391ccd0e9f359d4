"""The way to the log, lent by the router to whoever shows what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import ray

from flux_actors.domain.partitioning import Partitioning
from flux_actors.log.connection import NatsAccess
from flux_actors.router.ray_shards import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.tenancy.principal import Principal


@dataclass(frozen=True, slots=True)
class Introduction:
    """What somebody needs to use the log, and what they may do."""

    access: NatsAccess
    partitions: int
    spread: frozenset[str]
    principal: Principal
    log_replicas: int
    good_for_s: float | None

    @property
    def partitioning(self) -> Partitioning:
        """The rule by which events find their partition."""
        return Partitioning(self.partitions, self.spread)


def introduction(token: str | None) -> Introduction:
    """Return the router's introduction of this process; raises what the router does."""
    router: Any = ray.get_actor(ROUTER_NAME, namespace=RAY_NAMESPACE)
    return cast("Introduction", ray.get(router.introduce.remote(token)))
