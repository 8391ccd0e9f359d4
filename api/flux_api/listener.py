"""The listener: uvicorn on the replica's own loop, sharing the Flux port with its neighbours.

Once a second it looks at each of its connections, which end when their clients are too slow (`protocol.py`),
and at the files of its certificate, which are used as soon as they have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, cast

import structlog
import uvicorn

from flux_actors import limits
from flux_actors.errors import FluxError
from flux_actors.settings import Settings
from flux_api.connections import Connections, Guest, make_room
from flux_api.hot.protocol import HotProtocol
from flux_api.hot.routes import HotRoutes
from flux_api.protocol import DoorProtocol
from flux_api.security_headers import headers_of
from flux_api.socket_protocol import DoorSocket

_log = structlog.get_logger(__name__)
_KEEP_ALIVE_S: Final = 75
_DRAIN_S: Final = 5
_BACKLOG: Final = 4096
_FILES: Final = 1 << 20
_SLICE: Final = 1_000  # connections looked at in one go: about 0.5 ms


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it must not take the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the replica."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets` as uvicorn does, which knows no bound for a TLS handshake."""
        config, loop = self.config, asyncio.get_running_loop()
        http: Any = config.http_protocol_class
        protocol = partial(
            http,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        handshake_s = limits.tls_handshake_s if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                protocol, sock=one, ssl=config.ssl, ssl_handshake_timeout=handshake_s, backlog=config.backlog
            )
            for one in sockets or []
        ]
        self.started = True


class Listener:
    """An HTTP and WebSocket listener for one ASGI app, with the hot way in front of it if there is one.

    Raises:
        Refused: the files of the certificate do not fit.
    """

    def __init__(self, app: Any, settings: Settings, hot: HotRoutes | None = None) -> None:
        self._certificate = settings.certificate()
        self.crowd = Connections.of(settings)
        self._socket = shared_socket(settings.host, settings.port)
        self._server = _Server(self._config(app, settings, hot))
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def _config(self, app: Any, settings: Settings, hot: HotRoutes | None) -> uvicorn.Config:
        plain: Any = DoorProtocol if hot is None else partial(HotProtocol, hot=hot)
        certificate = self._certificate
        return uvicorn.Config(
            app,
            http=cast("Any", partial(plain, crowd=self.crowd)),
            ws=cast("Any", partial(DoorSocket, crowd=self.crowd)),
            ws_per_message_deflate=False,
            ws_max_size=limits.socket_message_bytes_max,
            ws_ping_interval=limits.socket_ping_s,
            ws_ping_timeout=limits.socket_ping_s,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # who a client is, is not for a header to say
            headers=headers_of(settings),
            ssl_context_factory=(lambda *_: certificate.context) if certificate is not None else None,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S,
            backlog=_BACKLOG,
        )

    async def open(self) -> None:
        """Listen; return when connections are taken."""
        self.crowd.fit(allow_many_clients())
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)
        self._looking = asyncio.create_task(self._look())

    @property
    def listens(self) -> bool:
        """Whether connections are taken."""
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        """Take no new connections, finish those under way, for a bounded time."""
        self._server.should_exit = True
        if self._looking is not None:
            self._looking.cancel()
        if self._task is not None:
            await self._task
        self._socket.close()

    async def _look(self) -> None:
        """Look at the connections, a slice of them between two turns of the loop, and at the certificate."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(limits.look_every_s)
            guests = cast("list[Guest]", [*self._server.server_state.connections])
            for first in range(0, len(guests), _SLICE):
                for guest in guests[first : first + _SLICE]:
                    guest.look(loop.time())
                await asyncio.sleep(0)
            make_room(guests, limits.coming_bytes_max)
            self._refresh_certificate()

    def _refresh_certificate(self) -> None:
        try:
            if self._certificate is not None and self._certificate.refresh():
                _log.info("certificate.renewed")
        except FluxError as error:
            _log.error("certificate.refused", reason=error.message)


def allow_many_clients() -> int:
    """Raise the soft bound of open files as far as may be, and return it.

    Each client holds one, and 1,024 is the usual.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft == resource.RLIM_INFINITY:
        return _FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


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
