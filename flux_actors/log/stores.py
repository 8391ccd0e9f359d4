"""All key-value stores of Flux in one account of JetStream."""

from __future__ import annotations

from typing import Final

import msgspec
import nats.errors
from nats.aio.client import Client

from flux_actors.errors import Unavailable
from flux_actors.log.key_value import JetStreamKeyValue

_TIMEOUT_S: Final = 5.0
_PREFIX: Final = "KV_"
_OURS: Final = "flux_"


class _Names(msgspec.Struct):
    total: int = 0
    streams: list[str] | None = None


_decode = msgspec.json.Decoder(_Names).decode


class JetStreamStores:
    """`Stores` that are buckets called `flux_…`, made with so many copies."""

    def __init__(self, client: Client, replicas: int = 1) -> None:
        self._client = client
        self._replicas = replicas

    async def names(self) -> list[str]:
        """Return the buckets that are Flux's."""
        names = [name.removeprefix(_PREFIX) for name in await stream_names(self._client, "$KV.>")]
        return sorted(name for name in names if name.startswith(_OURS))

    async def open(self, name: str) -> JetStreamKeyValue:
        """Open a bucket, made if it is not there."""
        return await JetStreamKeyValue.open(self._client, name, self._replicas)


async def stream_names(client: Client, subject: str) -> list[str]:
    """Return the streams that take messages of a subject; raises `Unavailable`."""
    found: list[str] = []
    while True:
        request = msgspec.json.encode({"offset": len(found), "subject": subject})
        try:
            answer = await client.request("$JS.API.STREAM.NAMES", request, timeout=_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"the log cannot be reached ({type(error).__name__})") from error
        names = _decode(answer.data)
        found += names.streams or []
        if not names.streams or len(found) >= names.total:
            return found
