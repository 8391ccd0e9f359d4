"""The way to the log, lent by the router to whoever shows what it may do."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import ray

from flux_actors.log.connection import NatsAccess
from flux_actors.router.ray_shards import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.tenancy.principal import Principal


class Introduction(NamedTuple):
    """Where the log is, how it is divided, and who asked."""

    access: NatsAccess
    partitions: int
    spread: frozenset[str]
    principal: Principal
    log_replicas: int = 1
    good_for_s: float = 0.0


def introduction(token: str | None) -> Introduction:
    """Return the router's introduction of this process; raises what the router does."""
    router: Any = ray.get_actor(ROUTER_NAME, namespace=RAY_NAMESPACE)
    return cast("Introduction", ray.get(router.introduce.remote(token)))
