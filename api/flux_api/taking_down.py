"""Taking Flux off a Ray cluster when Serve's application is deleted: nobody else is there to do it.

Each door does it that goes because of that, the router once. A door that goes for another reason (fewer of
them, a new version, a node that ends) leaves everything as it is.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus

from flux_actors.connectors.names import KEEPER_NAME
from flux_actors.errors import Unavailable
from flux_actors.router.handle import router_handle
from flux_actors.router.names import RAY_NAMESPACE

_ASK_S: Final = 3.0
_KEEP_S: Final = 5.0


async def is_being_deleted() -> bool:
    """Whether the application of this replica is on its way out; one that Serve does not tell of is not."""
    name = serve.get_replica_context().app_name
    try:
        status = await asyncio.wait_for(asyncio.to_thread(serve.status), _ASK_S)
    except (RayError, RayServeException, TimeoutError):
        return False
    return name in status.applications and status.applications[name].status is ApplicationStatus.DELETING


async def take_down() -> None:
    """Have the connectors keep what they know, then the router end the shards, everything else and itself."""
    with suppress(RayError, ValueError, TimeoutError):
        keeper = ray.get_actor(KEEPER_NAME, namespace=RAY_NAMESPACE)
        await asyncio.wait_for(keeper.drain.remote(), _KEEP_S)
    with suppress(Unavailable):  # another door was quicker
        router_handle().retire.remote()
