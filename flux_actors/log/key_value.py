"""The key-value store on JetStream."""

from __future__ import annotations

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError, NoKeysError
from nats.js.kv import KeyValue as NatsBucket

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.ports import Versioned

_FAULTS = (nats.errors.Error, TimeoutError, OSError)


class JetStreamKeyValue:
    """A `KeyValue` on one bucket."""

    def __init__(self, bucket: NatsBucket) -> None:
        self._bucket = bucket

    @classmethod
    async def open(cls, client: Client, name: str, replicas: int = 1) -> JetStreamKeyValue:
        """Open the bucket `name`, made if it is not there."""
        jetstream = client.jetstream(timeout=5.0)
        config = KeyValueConfig(bucket=name, history=1, storage=StorageType.FILE, replicas=replicas)
        try:
            try:
                return cls(await jetstream.key_value(name))
            except BucketNotFoundError:
                return cls(await jetstream.create_key_value(config))
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

    async def keys(self) -> list[str]:
        """Return all keys, sorted."""
        try:
            return sorted(await self._bucket.keys())
        except NoKeysError:
            return []
        except _FAULTS as error:
            raise Unavailable("the log's key-value store cannot be reached") from error
