"""What all `Stores` promise (flux_actors/log/ports.py)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from flux_actors.log.connection import connect
from flux_actors.log.memory import MemoryStores
from flux_actors.log.ports import Stores
from flux_actors.log.stores import JetStreamStores
from tests.contract.conftest import RunningNats


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    await client.jetstream().create_key_value(bucket=f"others_{uuid.uuid4().hex}")
    yield JetStreamStores(client)
    await client.close()


async def test_stores_are_found_by_their_names_with_what_is_in_them(stores: Stores) -> None:
    before = await stores.names()
    names = sorted(f"flux_{uuid.uuid4().hex}" for _ in range(3))
    for name in names:
        await (await stores.open(name)).put("key", name.encode())
    assert sorted({*await stores.names()} - {*before}) == names
    for name in names:
        value = await (await stores.open(name)).get("key")
        assert value is not None
        assert value.value == name.encode()
