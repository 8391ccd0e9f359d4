"""Following: what was stored is known after the next read, and a store that is away is told."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.tenancy.following import Follower, encode, key_of
from flux_actors.tenancy.namespace import Visibility, register
from flux_actors.tenancy.principal import UNKNOWN
from flux_actors.tenancy.registry import Registry


@pytest.fixture
def store():
    return MemoryKeyValue()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def told():
    return []


@pytest.fixture
def follower(store, registry, told):
    return Follower(store, registry, lambda: told.append(len(registry)))


async def test_what_was_stored_is_known_after_a_read_and_told_once(store, registry, follower, told):
    namespace, token = register("acme", Visibility.PUBLIC, 5)
    await follower.read()
    assert told == []
    await store.put(key_of("acme"), encode(namespace))
    await follower.read()
    await follower.read()
    assert registry.holder(token.text).namespace == "acme"
    assert told == [1]


async def test_a_read_holds_what_was_stored_before_it_though_another_is_under_way(store, registry, follower):
    asked = []
    changes = store.changes

    async def slow(after):
        asked.append(after)
        found = await changes(after)
        await asyncio.sleep(0)
        return found

    store.changes = slow
    first = asyncio.create_task(follower.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await store.put(key_of("acme"), encode(register("acme", Visibility.PUBLIC, 5)[0]))
    later = [asyncio.create_task(follower.read()) for _ in range(5)]
    await asyncio.gather(first, *later)
    assert len(registry) == 1
    assert len(asked) == 2  # those that came meanwhile shared one


async def test_a_store_that_is_away_is_told_to_all_who_wait_and_the_next_read_tries_again(
    store, registry, follower
):
    store.away = True
    outcomes = await asyncio.gather(follower.read(), follower.read(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    store.away = False
    await store.put(key_of("acme"), encode(register("acme", Visibility.PUBLIC, 5)[0]))
    await follower.read()
    assert len(registry) == 1


async def test_a_record_that_cannot_be_read_is_sealed_and_keeps_nobody_else_from_being_read(
    store, registry, follower, told
):
    vault, token = register("vault", Visibility.PUBLIC, 5)
    await store.put(key_of("vault"), encode(vault))
    await follower.read()
    await store.put(key_of("vault"), b'{"visibility":"by-invitation"}')
    await store.put("something-else", b"no namespace")
    await store.put(key_of("acme"), encode(register("acme", Visibility.PUBLIC, 5)[0]))
    await follower.read()
    assert registry.hidden == {"vault"}
    assert registry.holder(token.text) is UNKNOWN
    assert registry.namespace("acme") is not None
    assert registry.namespace("something-else") is None
    assert len(told) == 2
