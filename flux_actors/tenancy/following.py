"""Following the store: a registry that is as the store has it, a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from flux_actors.tenancy.namespace import Namespace
from flux_actors.tenancy.registry import Registry

_log = structlog.get_logger(__name__)
_PREFIX: Final = "ns."
encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Namespace).decode


def key_of(name: str) -> str:
    """Return under which key a namespace is stored."""
    return _PREFIX + name


def name_of(key: str) -> str | None:
    """Return whose key it is, `None` when it is not one of a namespace."""
    return key.removeprefix(_PREFIX) if key.startswith(_PREFIX) else None


class Entry(Protocol):
    """A key that was stored, with its value and revision."""

    @property
    def key(self) -> str:
        """Whose it is."""
        ...

    @property
    def value(self) -> bytes | None:
        """What was stored; `None` when it was deleted."""
        ...

    @property
    def revision(self) -> int:
        """Numbered over all keys."""
        ...


class Source(Protocol):
    """Where the namespaces are kept."""

    async def changes(self, after: int) -> Sequence[Entry]:
        """Return what was stored behind a revision, oldest first."""
        ...


class Follower:
    """Brings a registry up to date whenever it is told to."""

    def __init__(self, source: Source, registry: Registry, changed: Callable[[], None]) -> None:
        self._source = source
        self._registry = registry
        self._changed = changed
        self.revision = 0  # up to which the registry is as the store is
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Return when the registry holds what the store held at the call.

        Reads that are wanted at once share one; whoever comes while one is under way needs the next.

        Raises:
            Unavailable: the store cannot be reached.
        """
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._has_read)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        entries = await self._source.changes(self.revision)
        for entry in entries:
            self._take(entry)
            self.revision = max(self.revision, entry.revision)
        if entries:
            self._changed()

    def _take(self, entry: Entry) -> None:
        name = name_of(entry.key)
        if name is None or entry.value is None:
            return
        try:
            self._registry.apply(decode(entry.value))
        except msgspec.DecodeError:  # of a newer version, maybe: others are not to suffer, and nothing leaks
            _log.error("tenancy.unreadable", namespace=name, revision=entry.revision)
            self._registry.seal(name)

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # those who wait for it hear of it
