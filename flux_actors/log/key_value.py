"""The key-value store on JetStream."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue as NatsBucket

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.batched import found_behind
from flux_actors.log.copies import fault_of
from flux_actors.log.ports import Entry, Versioned

_FAULTS = (nats.errors.Error, TimeoutError, OSError)
_DELETIONS: Final = ("DEL", "PURGE")


class JetStreamKeyValue:
    """A `KeyValue` on one bucket."""

    def __init__(self, client: Client, name: str, bucket: NatsBucket) -> None:
        self._client = client
        self._name = name
        self._bucket = bucket

    @classmethod
    async def open(cls, client: Client, name: str, replicas: int = 1) -> JetStreamKeyValue:
        """Open the bucket `name`, made if it is not there.

        Raises:
            Refused: NATS never keeps so many copies. Unavailable: it cannot be reached, or make them now.
        """
        jetstream = client.jetstream(timeout=5.0)
        config = KeyValueConfig(
            bucket=name, history=1, storage=StorageType.FILE, replicas=replicas, direct=True
        )
        try:
            try:
                return cls(client, name, await jetstream.key_value(name))
            except BucketNotFoundError:
                return cls(client, name, await jetstream.create_key_value(config))
        except nats.js.errors.APIError as error:
            raise fault_of(error, "the log's key-value store", replicas) from error
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error

    async def get(self, key: str) -> Versioned | None:
        """Return the value of `key`."""
        try:
            entry = await self._bucket.get(key)
        except KeyNotFoundError:
            return None
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error
        return Versioned(entry.value or b"", entry.revision or 0)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Store by compare-and-set."""
        try:
            if expected is None:
                return await self._bucket.put(key, value)
            if expected == 0:
                return await self._bucket.create(key, value)
            return await self._bucket.update(key, value, last=expected)
        except KeyWrongLastSequenceError:
            raise Refused(f"{key} was changed by somebody else; read it again", 409) from None
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        try:
            await self._bucket.delete(key)
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error

    async def changes(self, after: int) -> list[Entry]:
        """Return what happened behind a revision: one request carries many entries."""
        prefix = f"$KV.{self._name}."
        try:
            found = await found_behind(self._client, f"KV_{self._name}", f"{prefix}>", after)
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error
        newest: dict[str, Entry] = {}
        for one in found:
            key = one.subject.removeprefix(prefix)
            gone = one.headers.get("KV-Operation") in _DELETIONS
            newest[key] = Entry(key, None if gone else one.data, one.sequence)
        return sorted(newest.values(), key=attrgetter("revision"))

    async def keys(self) -> list[str]:
        """Return all keys, sorted.

        By the batched read: nats-py's own listing watches, and now and then sees the end before the keys.
        """
        return sorted(entry.key for entry in await self.changes(0) if entry.value is not None)
