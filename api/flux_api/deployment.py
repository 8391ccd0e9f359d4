"""The Serve deployment: each replica is a door with a listener of its own beside Serve's proxy.

An application with a plan stands by itself (`serve deploy`): its doors see to the router before they open,
and take everything down when the application is deleted. Without one, whoever deploys it does both.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi import FastAPI
from ray import serve

from flux_actors import limits
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.logs import set_up_logs
from flux_actors.settings import Settings
from flux_api.app import build_app
from flux_api.closed_port import close_replica_port
from flux_api.door import Door, open_door
from flux_api.door_count import DOOR_RESOURCE, doors_of_nodes
from flux_api.listener import Listener
from flux_api.request_ids import RequestIds
from flux_api.taking_down import is_being_deleted, take_down
from flux_api.traced import hot_routes_for
from flux_api.whereabouts import node_address, url_of

if TYPE_CHECKING:
    from flux_actors.router.plan import RouterPlan

_log = structlog.get_logger(__name__)
APPLICATION: Final = "flux"
_DRAIN_S: Final = 15.0
_ONGOING_MAX: Final = 100_000  # a WebSocket through Serve's proxy holds one for its life
_ON_NODES: Final = {
    "autoscaling_config": {
        "min_replicas": 1,
        "max_replicas": limits.doors_max,
        "upscale_delay_s": 0.0,
        "downscale_delay_s": 5.0,  # a node that Ray misses for a moment keeps its door
        "policy": {"policy_function": f"{doors_of_nodes.__module__}:{doors_of_nodes.__name__}"},
    }
}


class Entrance:
    """What Serve's proxy calls for as long as the replica lives, whichever door is behind it."""

    def __init__(self) -> None:
        self.app: Any = None
        self.outer = FastAPI(openapi_url=None)
        self.outer.mount("/", self._enter)

    async def _enter(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Ingress:
    """One replica."""

    async def __init__(  # type: ignore[misc]
        self, settings: Settings, access: NatsAccess, plan: RouterPlan | None = None
    ) -> None:
        # Serve awaits the constructor of a replica.
        set_up_logs()
        close_replica_port()
        self._stands_alone = plan is not None
        if plan is not None:
            from flux_actors.router.founding import found  # noqa: PLC0415 - other doors need no router's code

            await found(access, plan)
        self._opening = (settings, access)
        self._entrance = Entrance()
        self._closing = False
        await self._open()
        self._following = asyncio.create_task(self._follow_log())

    async def _open(self) -> None:
        """Open a door, and the listener that leads to it."""
        settings, access = self._opening
        door = await open_door(settings, access)
        app = build_app(settings, door)
        hot = hot_routes_for(door)
        listener = Listener(RequestIds(app), settings, hot)
        await listener.open()
        self._door: Door = door
        self._listener = listener
        self._entrance.app = app
        door.meter.see_listener(hot.tally, listener.crowd)
        # What a door is made of stays: no collection needs to walk it again (28 ms of every full one).
        gc.collect()
        gc.freeze()

    async def _follow_log(self) -> None:
        """Whenever the log has a next generation, open a door to that, then close the one before."""
        while True:
            await self._door.succession.wait()
            door, listener = self._door, self._listener
            try:
                await self._open()
            except FluxError as error:
                _log.warning("door.not_renewed", reason=error.message)
                continue
            _log.info("door.renewed", partitions=self._door.partitioning.partitions)
            door.give_up()
            await listener.close()
            await door.close()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Serve's proxy the same app that the listener serves."""
        return self._entrance.outer

    async def url(self) -> str:
        """Return where this door is, for whoever deployed it."""
        return url_of(self._door.settings, node_address())

    async def check_health(self) -> None:
        """Tell Serve to replace a replica whose listener has ended."""
        if not self._listener.listens and not self._closing:
            raise Unavailable("the listener of this door has ended")
        if self._door.client.is_closed and not self._closing:
            raise Unavailable("the connection to the log was closed by the server")
        if self._following.done() and not self._closing:
            raise Unavailable("this door would not notice the next generation of the log")

    async def drain(self) -> None:
        """Stop listening, finish what is under way, then close everything."""
        if not self._closing:
            self._closing = True
            self._following.cancel()
            await self._listener.close()
            await self._door.close()
            if self._stands_alone and await is_being_deleted():
                await take_down()


def application(
    settings: Settings, access: NatsAccess, *, on_nodes: bool = False, plan: RouterPlan | None = None
) -> Any:
    """Return the Serve application of Flux.

    Arguments:
        settings: what an operator set.
        access: the way to the log.
        on_nodes: one door for each `flux-door` of the cluster's nodes, instead of `settings.doors`.
        plan: what the doors start the router with, where nobody else does.
    """
    # Serve's decorators wrap the class; a second name keeps pickling of `Ingress` by reference.
    deployment: Any = serve.deployment(
        _with_farewell(serve.ingress()(Ingress)),
        name="door",
        **(_ON_NODES if on_nodes else {"num_replicas": settings.doors}),
        max_ongoing_requests=_ONGOING_MAX,
        health_check_period_s=1,
        health_check_timeout_s=5,
        graceful_shutdown_timeout_s=20,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 0} | ({"resources": {DOOR_RESOURCE: 1}} if on_nodes else {}),
    )
    return deployment.bind(settings, access, plan)


def _with_farewell(wrapped: Any) -> Any:
    """Return the wrapped ingress, draining its door before Serve takes it down."""

    async def construct(self: Any, *arguments: Any) -> None:
        await wrapped.__init__(self, *arguments)

    async def farewell(self: Any) -> None:
        await asyncio.wait_for(self.drain(), _DRAIN_S)
        await wrapped.__del__(self)

    return type("Door", (wrapped,), {"__init__": construct, "__del__": farewell})
