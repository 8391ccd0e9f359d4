"""The Serve deployment: each replica is a door with a listener of its own beside Serve's proxy."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Final

from fastapi import FastAPI
from ray import serve

from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.logs import set_up_logs
from flux_actors.settings import Settings
from flux_api.app import build_app
from flux_api.closed_port import close_replica_port
from flux_api.door import Door, open_door
from flux_api.listener import Listener
from flux_api.request_ids import RequestIds
from flux_api.traced import hot_routes_for

APPLICATION: Final = "flux"
_DRAIN_S: Final = 15.0
_ONGOING_MAX: Final = 100_000  # a WebSocket through Serve's proxy holds one for its life


class Ingress:
    """One replica."""

    async def __init__(self, settings: Settings, access: NatsAccess) -> None:  # type: ignore[misc]
        # Serve awaits the constructor of a replica.
        set_up_logs()
        close_replica_port()
        self._door: Door = await open_door(settings, access)
        self._flux_app = build_app(settings, self._door)
        hot = hot_routes_for(self._door)
        self._listener = Listener(RequestIds(self._flux_app), settings, hot)
        await self._listener.open()
        self._door.meter.see_listener(hot.tally, self._listener.crowd)
        self._closing = False
        # What a door is made of stays: no collection needs to walk it again (28 ms of every full one).
        gc.collect()
        gc.freeze()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Serve's proxy the same app that the listener serves."""
        return self._flux_app

    async def check_health(self) -> None:
        """Tell Serve to replace a replica whose listener has ended."""
        if not self._listener.listens and not self._closing:
            raise Unavailable("the listener of this door has ended")
        if self._door.client.is_closed and not self._closing:
            raise Unavailable("the connection to the log was closed by the server")

    async def drain(self) -> None:
        """Stop listening, finish what is under way, then close everything."""
        if not self._closing:
            self._closing = True
            await self._listener.close()
            await self._door.close()


def application(settings: Settings, access: NatsAccess) -> Any:
    """Return the Serve application of Flux."""
    # Serve's decorators wrap the class; a second name keeps pickling of `Ingress` by reference.
    deployment: Any = serve.deployment(
        _with_farewell(serve.ingress()(Ingress)),
        name="door",
        num_replicas=settings.doors,
        max_ongoing_requests=_ONGOING_MAX,
        health_check_period_s=1,
        health_check_timeout_s=5,
        graceful_shutdown_timeout_s=20,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 0},
    )
    return deployment.bind(settings, access)


def _with_farewell(wrapped: Any) -> Any:
    """Return the wrapped ingress, draining its door before Serve takes it down."""

    async def construct(self: Any, *arguments: Any) -> None:
        await wrapped.__init__(self, *arguments)

    async def farewell(self: Any) -> None:
        await asyncio.wait_for(self.drain(), _DRAIN_S)
        await wrapped.__del__(self)

    return type("Door", (wrapped,), {"__init__": construct, "__del__": farewell})
