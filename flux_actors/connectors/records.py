"""What is kept of connectors in the bucket `flux_connectors`: configuration by clients, memory by actors.

One document of configuration per namespace, so that its actor reads one key to know all; one of memory per
connector, written by its actor alone. Both by compare-and-set.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.ports import KeyValue

BUCKET: Final = "flux_connectors"
GENERIC: Final = "generic"
_CONFIG: Final = "config."
_TRIES: Final = 10
Key = str  # a connector's name, or `generic/<source id>`


class Configured(msgspec.Struct, frozen=True):
    """One connector as a client configured it."""

    revision: str  # another with every configuration: memory of an earlier one does not count
    sealed: str | None = None
    settings: dict[str, Any] = {}


class NamespaceRecord(msgspec.Struct, frozen=True):
    """All connectors of a namespace."""

    connectors: dict[Key, Configured] = {}


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a connector knows from poll to poll, and what is told of it."""

    revision: str
    last_poll_ms: int | None = None
    last_error: str | None = None
    failing: bool = False
    failures: int = 0
    not_before_ms: int = 0
    state: dict[str, Any] = {}


class Status(NamedTuple):
    """What is told of a connector; a tuple, so that Ray passes it on cheaply."""

    revision: str
    last_poll_ms: int | None
    last_error: str | None
    failing: bool
    interval_s: float | None


Change = Callable[[dict[Key, Configured]], None]
_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(NamespaceRecord).decode
_decode_memory = msgspec.json.Decoder(Memory).decode


def new_configured(sealed: str | None, settings: dict[str, Any]) -> Configured:
    """Return a configuration that was never there before."""
    return Configured(secrets.token_hex(8), sealed, settings)


class ConnectorStore:
    """The bucket `flux_connectors`, typed."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    async def namespaces(self) -> list[str]:
        """Return the namespaces that have a document of configuration."""
        return [key.removeprefix(_CONFIG) for key in await self._store.keys() if key.startswith(_CONFIG)]

    async def record(self, namespace: str) -> NamespaceRecord:
        """Return what is configured in a namespace."""
        return (await self._read(namespace))[0]

    async def change(self, namespace: str, change: Change) -> None:
        """Change a namespace's configuration, again from what is there when somebody else was faster.

        Raises:
            Unavailable: others change it without end.
        """
        for _ in range(_TRIES):
            record, revision = await self._read(namespace)
            connectors = dict(record.connectors)
            change(connectors)
            if connectors == record.connectors:
                return
            try:
                await self._store.put(_CONFIG + namespace, _encode(NamespaceRecord(connectors)), revision)
            except Refused:
                continue
            return
        raise Unavailable("the connectors are being changed by others; try again in a second")

    async def forget(self, namespace: str) -> None:
        """Forget all of a namespace, as when it is deleted."""
        record = await self.record(namespace)
        await self._store.delete(_CONFIG + namespace)
        for key in record.connectors:
            await self.forget_memory(namespace, key)

    async def memory(self, namespace: str, key: Key) -> tuple[Memory | None, int]:
        """Return what a connector remembers, and its revision in the store."""
        stored = await self._store.get(_memory_key(namespace, key))
        return (None, 0) if stored is None else (_decoded_memory(stored.value), stored.revision)

    async def remember(self, namespace: str, key: Key, memory: Memory, revision: int) -> int:
        """Store what a connector remembers; raises `Refused` (409) when another actor did so meanwhile."""
        return await self._store.put(_memory_key(namespace, key), _encode(memory), revision)

    async def forget_memory(self, namespace: str, key: Key) -> None:
        """Forget what a connector remembers."""
        await self._store.delete(_memory_key(namespace, key))

    async def _read(self, namespace: str) -> tuple[NamespaceRecord, int]:
        stored = await self._store.get(_CONFIG + namespace)
        if stored is None:
            return NamespaceRecord(), 0
        try:
            return _decode_record(stored.value), stored.revision
        except msgspec.MsgspecError:
            raise Corrupt(
                f"the connectors of {namespace} cannot be read; an operator must look at them"
            ) from None


def _memory_key(namespace: str, key: Key) -> str:
    return f"memory.{namespace}.{key.replace('/', '.')}"


def _decoded_memory(data: bytes) -> Memory | None:
    """Return a memory; one that cannot be read is as good as none, for all of it can be learnt again."""
    try:
        return _decode_memory(data)
    except msgspec.MsgspecError:
        return None
