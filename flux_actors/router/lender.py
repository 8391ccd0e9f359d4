"""The budgets of the router, as a door reaches them: one Ray call for all namespaces that need one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import ray

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.tenancy.budget import Ask, Lease, Limit


class RouterLender:
    """A `Lender` whose budgets are the router's; a router that was started again is the same to it."""

    def __init__(self, name: str = ROUTER_NAME) -> None:
        self._name = name
        self._handle: Any = None

    async def lease(self, door: str, asks: Mapping[str, Ask], limit: Limit) -> Lease:
        """Call the router."""
        try:
            if self._handle is None:
                self._handle = ray.get_actor(self._name, namespace=RAY_NAMESPACE)
            answer = self._handle.lease.remote(door, dict(asks), limit)
            lease: Lease = await asyncio.wait_for(answer, limits.lease_timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever keeps the router from answering, a door goes on
            raise Unavailable(f"the router does not answer ({type(error).__name__})") from None
        return lease
