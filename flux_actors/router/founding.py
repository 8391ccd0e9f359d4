"""Founding: whoever needs the router first starts it, and it goes by the newest plan.

`flux up` starts it through its launcher. Where Ray Serve deploys the application by itself (`serve deploy`, a
KubeRay RayService) there is no launcher: then each door sees to it before it opens. Ray lets one actor have
the name, so it does not matter how many try. A plan is known by when it was made: a door that was deployed
anew ends a router of an older plan, whose successor takes over the shards that live; one of an older
deployment that comes up late leaves the newer router alone.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import ray
import structlog
from ray.exceptions import RayActorError, RayError

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.router.namespace_router import RemoteRouter
from flux_actors.router.plan import RouterPlan
from flux_actors.settings import Settings
from flux_actors.shard.memory import MemoryPlan
from flux_actors.shard.retention import Retention

_log = structlog.get_logger(__name__)
_FOUND_S: Final = 120.0
_ASK_S: Final = 10.0
_RETRY_S: Final = 0.1


def plan_of(settings: Settings, owner: str, made_us: int = 0) -> RouterPlan:
    """Return what settings ask of a router; `made_us` is when, for `found` to tell a newer plan by."""
    return RouterPlan(
        owner=owner,
        snapshots=settings.snapshot_place,
        shards=settings.shards,
        memory=MemoryPlan(settings.memory_bytes, settings.data.absolute()) if settings.memory_bytes else None,
        partitions=settings.partitions,
        spread=settings.spread_namespaces,
        log_replicas=settings.log_replicas,
        history_positions=settings.history_positions,
        retention=Retention(settings.log_max_age, settings.log_max_bytes),
        auth_enabled=settings.auth_enabled,
        admin_token=settings.admin_token.get_secret_value() if settings.admin_token else None,
        traces=settings.traces,
        made_us=made_us,
    )


def start_router(access: NatsAccess, plan: RouterPlan, *, or_take: bool) -> Any:
    """Start the router of this Ray cluster and return it; if there is one, `or_take` returns that.

    Raises:
        ValueError: there is one already, and it is not to be taken.
    """
    return RemoteRouter.options(
        name=ROUTER_NAME,
        namespace=RAY_NAMESPACE,
        lifetime="detached",
        max_restarts=-1,
        num_cpus=0,
        max_concurrency=100,
        get_if_exists=or_take,
    ).remote(access, plan)


async def found(access: NatsAccess, plan: RouterPlan) -> None:
    """Return when a router runs that goes by `plan`, or by a newer one.

    Raises:
        Refused: another Flux runs on this Ray cluster.
        Unavailable: no router came up in time.
    """
    deadline = time.monotonic() + _FOUND_S
    while time.monotonic() < deadline:
        router = start_router(access, plan, or_take=True)
        try:
            owner, made_us = await asyncio.wait_for(router.founded.remote(), _ASK_S)
        except (RayActorError, TimeoutError):  # it was being ended, or is being started again
            await asyncio.sleep(_RETRY_S)
            continue
        except RayError as error:
            raise Unavailable(f"the router does not say what it goes by ({type(error).__name__})") from error
        if owner != plan.owner:
            raise Refused(
                f"this Ray cluster already runs the Flux of {owner}; stop that first, or use another cluster"
            )
        if made_us >= plan.made_us:
            return
        _log.info("router.replaced", made_us=made_us, by_us=plan.made_us)
        ray.kill(router, no_restart=True)
        await asyncio.sleep(_RETRY_S)
    raise Unavailable(f"no router came up within {_FOUND_S:.0f} s; its log may say why")
