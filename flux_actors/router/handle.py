"""The way to the router. It stands by itself so that whoever only asks the router need not load it."""

from __future__ import annotations

from typing import Any

import ray

from flux_actors.errors import Unavailable
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME


def router_handle() -> Any:
    """Return the router of this Ray cluster.

    Raises:
        Unavailable: there is none.
    """
    try:
        return ray.get_actor(ROUTER_NAME, namespace=RAY_NAMESPACE)
    except ValueError:
        raise Unavailable("no Flux router runs on this Ray cluster; start Flux with `flux up`") from None
