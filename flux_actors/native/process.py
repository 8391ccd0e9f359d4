"""What this process has of Flux: one thread, and one link for each ticket, until the process ends.

Handles come and go, and are pickled and unpickled; what they share stands here, once. That is this package's
only state outside of objects: without it each handle that a task unpickles would connect anew.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from flux_actors.errors import FluxError
from flux_actors.logs import set_up_logs
from flux_actors.native.introducing import cluster, introduce
from flux_actors.native.joining import join
from flux_actors.native.link import Link, open_link
from flux_actors.native.loop_thread import LoopThread
from flux_actors.native.ticket import Ticket

_CLOSE_S: Final = 5.0
OpenLink = Callable[[Ticket], Awaitable[Link]]


class Home(Protocol):
    """Where the parts of a user of Flux are."""

    @property
    def thread(self) -> LoopThread:
        """The thread that everything runs in."""
        ...

    async def link(self, ticket: Ticket) -> Link:
        """Return the link of a ticket, opened if need be; on the loop of `thread`."""
        ...


class Process:
    """The thread and the links of one process."""

    def __init__(self, open_one: OpenLink, where: Callable[[], str], enter: Callable[[], object]) -> None:
        if not structlog.is_configured():  # else whoever runs here has a form of its own
            set_up_logs()
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        self.thread = LoopThread("flux")
        self.pid = os.getpid()
        self._open_one = open_one
        self._where = where
        self._enter = enter
        self._links: dict[tuple[str, Ticket], asyncio.Task[Link]] = {}

    def enter(self) -> None:
        """Be in the cluster, from the caller's thread: only a main thread gives a driver all that Ray has.

        Raises:
            Unavailable: there is none.
        """
        self._enter()

    async def link(self, ticket: Ticket) -> Link:
        """Return the link of a ticket.

        Raises:
            Refused: its token is none. Unavailable: there is no Flux here, or it cannot be reached.
        """
        cluster = self._where()
        if not cluster:
            await asyncio.to_thread(self._enter)
            cluster = self._where()
        key = (cluster, ticket)
        opening = self._links.get(key)
        if opening is None or (opening.done() and not _usable(opening)):
            opening = self._links[key] = asyncio.create_task(self._opened(ticket))
        return await asyncio.shield(opening)

    def close(self) -> None:
        """Let what is under way finish, and end the thread."""
        with suppress(Exception):  # the process ends: nobody is left to be told
            self.thread.run(self._close_links(), _CLOSE_S)
        self.thread.close()

    async def _opened(self, ticket: Ticket) -> Link:
        return await self._open_one(ticket)

    async def _close_links(self) -> None:
        for opening in self._links.values():
            with suppress(FluxError, asyncio.CancelledError):
                await (await opening).close()


def _usable(opening: asyncio.Task[Link]) -> bool:
    return not opening.cancelled() and opening.exception() is None and opening.result().usable


class _Here:
    """The one `Process` of this process; a forked child begins its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Process | None = None

    def process(self) -> Process:
        with self._lock:
            if self._process is None or self._process.pid != os.getpid():
                self._process = Process(_open, cluster, join)
                atexit.register(self._process.close)
            return self._process

    def forget(self) -> None:
        """Begin anew in a forked child: the parent's thread and connections are not in it."""
        self._lock = threading.Lock()
        if self._process is not None:
            atexit.unregister(self._process.close)
        self._process = None


_here: Final = _Here()
os.register_at_fork(after_in_child=_here.forget)


def here() -> Process:
    """Return what this process has of Flux."""
    return _here.process()


async def _open(ticket: Ticket) -> Link:
    return await open_link(ticket, await introduce(ticket.token), lambda: introduce(ticket.token))
