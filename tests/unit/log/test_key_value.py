from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import nats.errors
import nats.js.errors
import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.key_value import JetStreamKeyValue

FAULTS = [
    nats.errors.ConnectionClosedError(),
    nats.js.errors.ServiceUnavailableError(),
    TimeoutError(),
    OSError(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_store_that_is_away_is_unavailable(fault: Exception) -> None:
    async def fail(*args: Any, **kwargs: Any) -> None:
        raise fault

    names = ("get", "put", "create", "update", "delete", "keys")
    client: Any = SimpleNamespace(new_inbox=lambda: "inbox", subscribe=fail)
    bucket: Any = SimpleNamespace(**dict.fromkeys(names, fail))
    store = JetStreamKeyValue(client, "bucket", bucket)
    for attempt in (
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put("k", b"", 0),
        lambda: store.put("k", b"", 3),
        lambda: store.delete("k"),
        store.keys,
        lambda: store.changes(0),
    ):
        with pytest.raises(Unavailable):
            await attempt()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_bucket_that_cannot_be_opened_is_unavailable(fault: Exception) -> None:
    async def fail(*args: Any, **kwargs: Any) -> None:
        raise fault

    client = SimpleNamespace(jetstream=lambda timeout: SimpleNamespace(key_value=fail))
    with pytest.raises(Unavailable):
        await JetStreamKeyValue.open(client, "bucket")  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_bucket_that_cannot_be_made_is_unavailable(fault: Exception) -> None:
    async def missing(*args: Any, **kwargs: Any) -> None:
        raise nats.js.errors.BucketNotFoundError

    async def fail(*args: Any, **kwargs: Any) -> None:
        raise fault

    jetstream = SimpleNamespace(key_value=missing, create_key_value=fail)
    client = SimpleNamespace(jetstream=lambda timeout: jetstream)
    with pytest.raises(Unavailable):
        await JetStreamKeyValue.open(client, "bucket")  # type: ignore[arg-type]
