"""The runtime config of this door: read from the store, followed, changed by admins.

A change is recorded first and stored then, so that none is in force which nobody can account for. One that
could not be stored after all gets a second record which says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
import structlog

from flux_actors import limits
from flux_actors.domain.runtime_config import RuntimeConfig, changed, difference
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import CONFIG_KEY

_log = structlog.get_logger(__name__)
CHANGE: Final = "config.change"
NO_CHANGE: Final = "config.change.failed"
_TRIES: Final = 5
_decode = msgspec.json.Decoder(RuntimeConfig).decode


class Recorder(Protocol):
    """Whoever keeps account of changes."""

    async def record(self, who: str, what: str, details: dict[str, Any]) -> None:
        """Keep a record; raises `Unavailable` when that is not possible."""


class ConfigKeeper:
    """Holds the present config."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store
        self.config = RuntimeConfig()
        self._revision = 0
        self._listeners: list[Callable[[RuntimeConfig, int], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the config and begin to follow it."""
        await self._read()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()

    def tell(self, listener: Callable[[RuntimeConfig, int], None]) -> None:
        """Have a listener hear of the config and its revision, now and whenever they change."""
        self._listeners.append(listener)
        listener(self.config, self._revision)

    async def change(self, update: Any, who: str, audit: Recorder) -> RuntimeConfig:
        """Store the changed config for all doors and return it; `who` asked for it, `audit` is told before.

        Raises:
            Refused: a field does not fit. Unavailable: nothing was changed; it may succeed later.
        """
        changed(self.config, update)  # refuse before the store is asked
        for _ in range(_TRIES):
            revision = await self._read()
            config = changed(self.config, update)
            changes = difference(self.config, config)
            if not changes:
                return config
            await audit.record(who, CHANGE, changes)
            stored = await self._stored(config, revision, audit, who)
            if stored is not None:
                self._hold(config, stored)
                return config
        raise Unavailable("the config is being changed by others; try again in a second")

    async def _stored(self, config: RuntimeConfig, revision: int, audit: Recorder, who: str) -> int | None:
        """Store a change that was recorded and return its revision; `None` if another admin was faster."""
        try:
            return await self._store.put(CONFIG_KEY, msgspec.json.encode(config), revision)
        except Refused:
            await audit.record(who, NO_CHANGE, {"reason": "another change came first"})
            return None
        except Unavailable as error:
            with suppress(Unavailable):  # the log may be away as well; the change may even have been made
                await audit.record(who, NO_CHANGE, {"reason": "the store did not confirm the change"})
            raise error from None

    async def _read(self) -> int:
        """Look at the store and return the revision of what is held: it may be newer than what was read."""
        stored = await self._store.get(CONFIG_KEY)
        if stored is not None:
            self._hold(_decode(stored.value), stored.revision)
        return self._revision

    def _hold(self, config: RuntimeConfig, revision: int) -> None:
        if revision <= self._revision:  # an older one: read before a change was stored, or of a server behind
            return
        self.config, self._revision = config, revision
        for listener in self._listeners:
            listener(config, revision)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(limits.config_poll_s)
            try:
                await self._read()
            except FluxError as error:
                _log.warning("config.unread", reason=error.message)
