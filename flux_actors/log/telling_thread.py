"""A process tells of itself from a thread: one whose own work leaves no loop free for it.

The thread has a connection of its own. While NATS is away it tries again; it never holds the process up, and
it ends with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Final, Self

import structlog
from nats.aio.client import Client

from flux_actors.errors import FluxError
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.telling import tell
from flux_actors.metering.samples import Sample

_log = structlog.get_logger(__name__)
_RETRY_S: Final = 2.0
_END_S: Final = 5.0
_CANCEL_S: Final = 0.1


def _nothing_more() -> Iterable[Sample]:
    return ()


class TellingThread:
    """Answers roll calls for its process, beside whatever that does."""

    def __init__(
        self, access: NatsAccess, role: str, meter: Callable[[], Iterable[Sample]] = _nothing_more
    ) -> None:
        self._access = access
        self._role = role
        self._meter = meter
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)

    def begin(self) -> Self:
        """Begin to answer as soon as NATS does."""
        self._thread.start()
        return self

    def end(self) -> None:
        """Answer no longer."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(_END_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._tell())

    async def _tell(self) -> None:
        """Tell until it is to end, whatever it is at then."""
        telling, ending = asyncio.create_task(self._keep_telling()), asyncio.create_task(self._ending.wait())
        await asyncio.wait({telling, ending}, return_when=asyncio.FIRST_COMPLETED)
        while not telling.done():
            telling.cancel()  # again and again: `asyncio.wait_for` loses one that comes with another fault
            await asyncio.wait({telling}, timeout=_CANCEL_S)
        ending.cancel()
        if not telling.cancelled():
            telling.result()

    async def _keep_telling(self) -> None:
        client = await self._connected()
        try:
            await tell(client, self._role, self._meter, site=self._access.site)
            await asyncio.Event().wait()
        finally:
            await client.close()

    async def _connected(self) -> Client:
        while True:
            try:
                return await connect(self._access, f"flux-{self._role}")
            except FluxError as error:
                _log.warning("telling.waits", role=self._role, reason=error.message)
                await asyncio.sleep(_RETRY_S)
