"""The code store: the code of behaviours, and their environments, by digest.

A control event of the log names code by its digest alone. What was stored is never changed or taken away:
a replay from any place of the log may ask for it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js.api import ObjectStoreConfig, StorageType
from nats.js.errors import (
    BadObjectMetaError,
    BucketNotFoundError,
    DigestMismatchError,
    ObjectNotFoundError,
)
from nats.js.object_store import ObjectStore

from flux_actors import limits
from flux_actors.behaviour.code import digest_of
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.batched import found_behind

CODE_BUCKET: Final = "flux_code"
_TIMEOUT_S: Final = 5.0
_GET_S: Final = 20.0  # for all of the largest code: nats-py waits for ever for a part that is not there
_FAULTS: Final = (nats.errors.Error, TimeoutError, OSError)
_AWAY: Final = "the store of behaviours' code cannot be reached"


class _Object(msgspec.Struct):
    """What an object store says of an object."""

    name: str
    deleted: bool = False


_decode_object = msgspec.json.Decoder(_Object).decode


class CodeStore(Protocol):
    """Keeps code by its digest, for ever."""

    async def put(self, digest: str, data: bytes) -> None:
        """Store code durably; the same again does no harm, and mends what was damaged.

        Raises:
            Refused: 413, it is larger than `code_bytes_max`, or the digest is not its own.
            Unavailable: it is not known to be stored; storing it again is safe.
        """
        ...

    async def get(self, digest: str) -> bytes:
        """Return code.

        Raises:
            Unavailable: the store cannot be reached.
            Corrupt: it is not there, or is not what was stored.
        """
        ...

    async def digests(self) -> list[str]:
        """Return the digests of all that is kept, sorted.

        Raises:
            Unavailable: the store cannot be reached.
        """
        ...


class JetStreamCodeStore:
    """A `CodeStore` in an object store of JetStream."""

    def __init__(self, client: Client, name: str, bucket: ObjectStore) -> None:
        self._client = client
        self._name = name
        self._bucket = bucket

    @classmethod
    async def open(cls, client: Client, replicas: int = 1, name: str = CODE_BUCKET) -> JetStreamCodeStore:
        """Open the store, made with so many copies if it is not there; raises `Unavailable`."""
        jetstream = client.jetstream(timeout=_TIMEOUT_S)
        try:
            try:
                return cls(client, name, await jetstream.object_store(name))
            except BucketNotFoundError:
                config = ObjectStoreConfig(bucket=name, storage=StorageType.FILE, replicas=replicas)
                return cls(client, name, await jetstream.create_object_store(name, config))
        except _FAULTS as error:
            raise Unavailable(_AWAY) from error

    async def put(self, digest: str, data: bytes) -> None:
        """Store an object unless it is there: to store it again would take it from those who read it."""
        _check(digest, data)
        try:
            if await self.get(digest) == data:
                return
        except Corrupt:
            pass
        try:
            await self._bucket.put(digest, data)
        except _FAULTS as error:
            raise Unavailable(_AWAY) from error

    async def get(self, digest: str) -> bytes:
        """Read an object and compare it with its name."""
        try:
            async with asyncio.timeout(_GET_S):
                found = await self._bucket.get(digest)
        except ObjectNotFoundError:
            raise _lost(digest) from None
        except (BadObjectMetaError, DigestMismatchError):
            raise _damaged(digest) from None
        except _FAULTS as error:
            raise Unavailable(_AWAY) from error
        return _verified(digest, bytes(found.data or b""))

    async def digests(self) -> list[str]:
        """Read what the store says of its objects."""
        try:
            found = await found_behind(self._client, f"OBJ_{self._name}", f"$O.{self._name}.M.>", 0)
        except _FAULTS as error:
            raise Unavailable(_AWAY) from error
        objects = {one.subject: _decode_object(one.data) for one in found}
        return sorted(one.name for one in objects.values() if not one.deleted)


class MemoryCodeStore:
    """A `CodeStore` in a dictionary; `away` makes it unreachable."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def put(self, digest: str, data: bytes) -> None:
        """Keep it."""
        _check(digest, data)
        self._reach()
        self.kept[digest] = data

    async def get(self, digest: str) -> bytes:
        """Return it."""
        self._reach()
        try:
            return _verified(digest, self.kept[digest])
        except KeyError:
            raise _lost(digest) from None

    async def digests(self) -> list[str]:
        """Return the digests of all of it."""
        self._reach()
        return sorted(self.kept)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable(_AWAY)


def _check(digest: str, data: bytes) -> None:
    if len(data) > limits.code_bytes_max:
        raise Refused(
            f"the code has {len(data)} bytes, and may have {limits.code_bytes_max}: read large data in the "
            "handlers, from a file or an entity, instead of keeping it in a global or in the class",
            413,
        )
    if digest != digest_of(data):
        raise Refused("the code is stored under its own digest alone")


def _verified(digest: str, data: bytes) -> bytes:
    if digest_of(data) != digest:
        raise _damaged(digest)
    return data


def _lost(digest: str) -> Corrupt:
    return Corrupt(f"the code {digest[:16]}… of a behaviour is not in the store {CODE_BUCKET} any more")


def _damaged(digest: str) -> Corrupt:
    return Corrupt(f"the code {digest[:16]}… of a behaviour is damaged in the store {CODE_BUCKET}")
