"""The runtime config of this door: read from the store, followed, changed by admins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from flux_actors import limits
from flux_actors.domain.runtime_config import RuntimeConfig, changed
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import CONFIG_KEY

_log = structlog.get_logger(__name__)
_TRIES: Final = 5
_decode = msgspec.json.Decoder(RuntimeConfig).decode


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

    async def change(self, update: Any) -> RuntimeConfig:
        """Store the changed config for all doors and return it."""
        changed(self.config, update)  # refuse before the store is asked
        for _ in range(_TRIES):
            revision = await self._read()
            config = changed(self.config, update)
            try:
                revision = await self._store.put(CONFIG_KEY, msgspec.json.encode(config), revision)
            except Refused:
                continue  # another admin was faster: merge into what is there now
            self._hold(config, revision)
            return config
        raise Unavailable("the config is being changed by others; try again in a second")

    async def _read(self) -> int:
        stored = await self._store.get(CONFIG_KEY)
        if stored is None:
            return 0
        self._hold(_decode(stored.value), stored.revision)
        return stored.revision

    def _hold(self, config: RuntimeConfig, revision: int) -> None:
        if revision == self._revision:
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
