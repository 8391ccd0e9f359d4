"""What every `CodeStore` promises (flux_actors/behaviour/code_store.py)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from nats.js.object_store import ObjectStore

from flux_actors import limits
from flux_actors.behaviour.code import digest_of
from flux_actors.behaviour.code_store import CodeStore, JetStreamCodeStore, MemoryCodeStore
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.connection import connect
from tests.contract.conftest import RunningNats


@dataclass
class Stored:
    """A store, and how its content is damaged."""

    store: CodeStore
    overwrite: Callable[[str, bytes], Awaitable[None]]
    lose: Callable[[str], Awaitable[None]]


def in_memory() -> Stored:
    store = MemoryCodeStore()

    async def overwrite(digest: str, data: bytes) -> None:
        store.kept[digest] = data

    async def lose(digest: str) -> None:
        del store.kept[digest]

    return Stored(store, overwrite, lose)


def in_bucket(store: CodeStore, bucket: ObjectStore) -> Stored:
    async def overwrite(digest: str, data: bytes) -> None:
        await bucket.put(digest, data)

    async def lose(digest: str) -> None:
        await bucket.delete(digest)

    return Stored(store, overwrite, lose)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def stored(request: pytest.FixtureRequest) -> AsyncIterator[Stored]:
    if request.param == "memory":
        yield in_memory()
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    name = f"test_{uuid.uuid4().hex}"
    store = await JetStreamCodeStore.open(client, name=name)
    yield in_bucket(store, await client.jetstream().object_store(name))
    await client.jetstream().delete_object_store(name)
    await client.close()


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 300_001])
async def test_code_is_given_back(stored: Stored, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    await stored.store.put(digest_of(data), data)
    assert await stored.store.get(digest_of(data)) == data


async def test_largest_code_is_given_back_and_a_larger_one_refused(stored: Stored) -> None:
    largest = bytes(limits.code_bytes_max)
    await stored.store.put(digest_of(largest), largest)
    assert await stored.store.get(digest_of(largest)) == largest
    with pytest.raises(Refused, match="may have") as caught:
        await stored.store.put(digest_of(largest + b"x"), largest + b"x")
    assert caught.value.status == 413


async def test_code_that_is_stored_again_stays(stored: Stored) -> None:
    for _ in range(3):
        await stored.store.put(digest_of(b"code"), b"code")
    await stored.store.put(digest_of(b"other"), b"other")
    assert await stored.store.get(digest_of(b"code")) == b"code"


async def test_code_under_another_digest_is_refused(stored: Stored) -> None:
    with pytest.raises(Refused, match="own digest"):
        await stored.store.put(digest_of(b"other"), b"code")
    with pytest.raises(Corrupt):
        await stored.store.get(digest_of(b"other"))


async def test_code_that_was_never_stored_is_not_there(stored: Stored) -> None:
    with pytest.raises(Corrupt, match="not in the store"):
        await stored.store.get(digest_of(b"code"))


async def test_code_that_was_lost_is_not_there_and_can_be_stored_again(stored: Stored) -> None:
    digest = digest_of(b"code")
    await stored.store.put(digest, b"code")
    await stored.lose(digest)
    with pytest.raises(Corrupt, match="not in the store"):
        await stored.store.get(digest)
    await stored.store.put(digest, b"code")
    assert await stored.store.get(digest) == b"code"


async def test_damaged_code_is_told_and_mended_by_storing_it_again(stored: Stored) -> None:
    digest = digest_of(b"code")
    await stored.store.put(digest, b"code")
    await stored.overwrite(digest, b"c0de")
    with pytest.raises(Corrupt, match="damaged"):
        await stored.store.get(digest)
    await stored.store.put(digest, b"code")
    assert await stored.store.get(digest) == b"code"


async def test_digests_are_those_of_all_that_is_kept(stored: Stored) -> None:
    assert await stored.store.digests() == []
    codes = [b"one", b"two", b"x" * 300_000]
    for code in (*codes, codes[0]):
        await stored.store.put(digest_of(code), code)
    assert await stored.store.digests() == sorted(map(digest_of, codes))
    await stored.lose(digest_of(b"two"))
    assert await stored.store.digests() == sorted({*map(digest_of, codes)} - {digest_of(b"two")})
