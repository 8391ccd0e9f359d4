"""What every `KeyValue` promises (flux_actors/log/ports.py)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import connect
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.log.ports import Entry, KeyValue, Versioned
from flux_actors.log.sites import at_site
from tests.contract.conftest import RunningNats


@pytest.fixture(params=["memory", "memory of a site", pytest.param("real", marks=pytest.mark.real)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[KeyValue]:
    if request.param == "memory":
        yield MemoryKeyValue()
        return
    if request.param == "memory of a site":
        shared = MemoryKeyValue()
        await at_site(shared, "other").put("key", b"of others")
        yield at_site(shared, "site")
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    bucket = f"test_{uuid.uuid4().hex}"
    yield await JetStreamKeyValue.open(client, bucket)
    await client.jetstream().delete_key_value(bucket)
    await client.close()


async def changed_by_others(store: KeyValue, key: str, expected: int) -> None:
    before = await store.get(key)
    with pytest.raises(Refused, match=key) as caught:
        await store.put(key, b"never", expected)
    assert caught.value.status == 409
    assert await store.get(key) == before


async def test_value_is_given_back_with_its_revision(store: KeyValue) -> None:
    for value in (b"x", b"", bytes(range(256)), b"x" * 100_000):
        revision = await store.put("key", value)
        assert await store.get("key") == Versioned(value, revision)


async def test_key_that_was_never_stored_has_no_value(store: KeyValue) -> None:
    await store.put("other", b"x")
    assert await store.get("key") is None


async def test_every_put_has_a_higher_revision(store: KeyValue) -> None:
    revisions = [await store.put("key", b"same") for _ in range(4)]
    assert revisions == sorted(set(revisions))
    assert revisions[0] > 0


async def test_key_that_must_be_new_is_stored_once(store: KeyValue) -> None:
    revision = await store.put("key", b"first", 0)
    assert await store.get("key") == Versioned(b"first", revision)
    await changed_by_others(store, "key", 0)


async def test_value_changes_only_from_the_revision_that_was_read(store: KeyValue) -> None:
    first = await store.put("key", b"1", 0)
    second = await store.put("key", b"2", first)
    assert await store.get("key") == Versioned(b"2", second)
    await changed_by_others(store, "key", first)
    await changed_by_others(store, "key", second + 100)
    await changed_by_others(store, "absent", 7)


async def test_of_many_that_race_one_wins(store: KeyValue) -> None:
    start = await store.put("key", b"start")
    for expected in (start, None):
        name, revision = ("key", expected) if expected else ("new", 0)
        results = await asyncio.gather(
            *(store.put(name, b"%d" % number, revision) for number in range(8)), return_exceptions=True
        )
        (winner,) = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert sum(isinstance(result, Refused) for result in results) == 7
        assert await store.get(name) == Versioned(b"%d" % winner, results[winner])  # type: ignore[arg-type]


async def test_deleted_key_is_gone_and_may_be_made_anew(store: KeyValue) -> None:
    before = await store.put("key", b"old")
    await store.delete("key")
    assert await store.get("key") is None
    assert await store.keys() == []
    await changed_by_others(store, "key", before)
    after = await store.put("key", b"new", 0)
    assert after > before
    assert await store.get("key") == Versioned(b"new", after)


async def test_deleting_what_is_not_there_is_quiet(store: KeyValue) -> None:
    await store.delete("key")
    await store.delete("key")
    assert await store.keys() == []
    assert await store.put("key", b"x", 0)


async def test_keys_are_sorted_and_those_that_were_deleted_left_out(store: KeyValue) -> None:
    assert await store.keys() == []
    for key in ("b", "a.2", "c", "a.1", "A", "b"):
        await store.put(key, b"x")
    await store.delete("c")
    assert await store.keys() == ["A", "a.1", "a.2", "b"]


async def test_keys_are_all_told_however_often_one_asks(store: KeyValue) -> None:
    for key in ("a", "b"):
        await store.put(key, b"x")
    for _ in range(1_000):
        assert await store.keys() == ["a", "b"]


@pytest.mark.real
async def test_bucket_is_kept_when_it_is_opened_again(nats_server: RunningNats) -> None:
    client = await connect(nats_server.access, "test")
    bucket = f"test_{uuid.uuid4().hex}"
    await (await JetStreamKeyValue.open(client, bucket)).put("key", b"kept")
    again = await (await JetStreamKeyValue.open(client, bucket)).get("key")
    assert again is not None
    assert again.value == b"kept"
    await client.jetstream().delete_key_value(bucket)
    await client.close()


@pytest.mark.real
async def test_store_that_is_away_is_unavailable(nats_server: RunningNats) -> None:
    client = await connect(nats_server.access, "test")
    bucket = f"test_{uuid.uuid4().hex}"
    store = await JetStreamKeyValue.open(client, bucket)
    await client.jetstream().delete_key_value(bucket)
    await client.close()
    for attempt in (
        lambda: store.get("key"),
        lambda: store.put("key", b"x"),
        lambda: store.put("key", b"x", 0),
        lambda: store.delete("key"),
        store.keys,
        lambda: store.changes(0),
        lambda: JetStreamKeyValue.open(client, bucket),
    ):
        with pytest.raises(Unavailable):
            await attempt()


async def test_changes_are_told_oldest_first_and_of_a_key_the_newest_alone(store: KeyValue) -> None:
    assert await store.changes(0) == []
    first = await store.put("a", b"1")
    second = await store.put("b", b"1")
    assert await store.changes(0) == [Entry("a", b"1", first), Entry("b", b"1", second)]
    third = await store.put("a", b"2")
    assert await store.changes(0) == [Entry("b", b"1", second), Entry("a", b"2", third)]
    assert await store.changes(first) == [Entry("b", b"1", second), Entry("a", b"2", third)]
    assert await store.changes(third) == []
    await store.delete("b")
    ((key, value, revision),) = await store.changes(third)
    assert (key, value) == ("b", None)
    assert revision > third


async def test_changes_are_all_told_however_many(store: KeyValue) -> None:
    revisions = [await store.put(f"key-{number}", b"x" * 100) for number in range(2_500)]
    found = await store.changes(revisions[9])
    assert [entry.revision for entry in found] == revisions[10:]
    assert {entry.key for entry in found} == {f"key-{number}" for number in range(10, 2_500)}
