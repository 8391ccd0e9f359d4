"""The listener: uvicorn on the replica's own loop, sharing the Flux port with its neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import uvicorn

from flux_actors import limits
from flux_api.hot.protocol import HotProtocol
from flux_api.hot.routes import HotRoutes
from flux_api.protocol import DoorProtocol
from flux_api.socket_protocol import DoorSocket

_KEEP_ALIVE_S: Final = 75
_DRAIN_S: Final = 5
_BACKLOG: Final = 4096
_FILES: Final = 1 << 20


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it must not take the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the replica."""
        yield


class Listener:
    """An HTTP and WebSocket listener for one ASGI app, with the hot way in front of it if there is one."""

    def __init__(self, app: Any, host: str, port: int, hot: HotRoutes | None = None) -> None:
        self._socket = shared_socket(host, port)
        http: Any = DoorProtocol if hot is None else partial(HotProtocol, hot=hot)
        config = uvicorn.Config(
            app,
            http=http,
            ws=DoorSocket,
            ws_per_message_deflate=False,
            ws_max_size=limits.socket_message_bytes_max,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S,
            backlog=_BACKLOG,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen; return when connections are taken."""
        allow_many_clients()
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)

    @property
    def listens(self) -> bool:
        """Whether connections are taken."""
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        """Take no new connections, finish those under way, for a bounded time."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def allow_many_clients() -> None:
    """Raise the soft bound of open files as far as may be: each client holds one, and 1,024 is the usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def shared_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host:port` that other doors may bind as well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.bind((host, port))
    bound.settimeout(0)
    return bound
