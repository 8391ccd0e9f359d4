"""The key-value stores as one file: who may do what, what is configured, what is deployed.

Secrets are in it as the stores have them: tokens hashed, credentials of connectors sealed.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import msgspec

from flux_actors.errors import Corrupt
from flux_actors.log.ports import Stores
from flux_actors.router.topology import REGISTRY_BUCKET, RESTORING_KEY


class Value(msgspec.Struct, frozen=True):
    """A key with its value, in base64 in the file."""

    key: str
    value: bytes
    revision: int


Dump = dict[str, list[Value]]  # by store, in the order of their revisions
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Dump).decode


async def dump(stores: Stores) -> bytes:
    """Return what the stores hold now; raises `Unavailable`."""
    found: Dump = {}
    for name in await stores.names():
        entries = await (await stores.open(name)).changes(0)
        values = [Value(one.key, one.value, one.revision) for one in entries if one.value is not None]
        found[name] = sorted(values, key=attrgetter("revision"))
    return _encode(found)


def decode(data: bytes) -> Dump:
    """Return what a file holds; raises `Corrupt`."""
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the stores of a backup cannot be read: {error}") from None


async def fill(stores: Stores, values: Dump) -> None:
    """Store everything, the registry last: without it there is no Flux."""
    for name in sorted(values, key=lambda name: name == REGISTRY_BUCKET):
        store = await stores.open(name)
        for one in values[name]:
            if one.key != RESTORING_KEY:
                await store.put(one.key, one.value)
