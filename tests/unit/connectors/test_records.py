"""What is kept of connectors, by compare-and-set."""

from __future__ import annotations

import pytest

from flux_actors.connectors.records import Configured, ConnectorStore, Memory, new_configured
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue

GITHUB = Configured("r1", "sealed", {"a": 1})


class Crowded(MemoryKeyValue):
    """A store in which somebody else is faster, `others` times."""

    others = 0

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        if self.others:
            self.others -= 1
            await super().put(key, b'{"connectors":{"other":{"revision":"r0"}}}')
        return await super().put(key, value, expected)


@pytest.fixture
def values() -> Crowded:
    return Crowded()


@pytest.fixture
def store(values) -> ConnectorStore:
    return ConnectorStore(values)


def put(configured: Configured):
    return lambda connectors: connectors.__setitem__("github", configured)


async def test_a_namespace_begins_empty(store):
    assert (await store.record("home")).connectors == {}
    assert await store.namespaces() == []


async def test_what_was_configured_is_there(store):
    await store.change("home", put(GITHUB))
    assert (await store.record("home")).connectors == {"github": GITHUB}
    assert (await store.record("other")).connectors == {}
    assert await store.namespaces() == ["home"]


async def test_a_change_that_is_none_writes_nothing(store, values):
    await store.change("home", lambda connectors: None)
    assert await values.keys() == []


async def test_a_change_is_made_to_what_somebody_else_wrote_meanwhile(store, values):
    values.others = 3
    await store.change("home", put(GITHUB))
    assert set((await store.record("home")).connectors) == {"other", "github"}


async def test_a_store_that_is_never_quiet_is_given_up(store, values):
    values.others = 1000
    with pytest.raises(Unavailable):
        await store.change("home", put(GITHUB))


async def test_memory_is_one_of_its_own_for_each(store):
    memory = Memory("r1", last_error="x", failing=True, failures=2, state={"a": [1]})
    revision = await store.remember("home", "generic/src_1", memory, 0)
    assert await store.memory("home", "generic/src_1") == (memory, revision)
    assert await store.memory("home", "github") == (None, 0)
    with pytest.raises(Refused):
        await store.remember("home", "generic/src_1", memory, 0)
    await store.forget_memory("home", "generic/src_1")
    assert await store.memory("home", "generic/src_1") == (None, 0)


async def test_memory_that_cannot_be_read_is_as_good_as_none_and_configuration_is_not(store, values):
    revision = await values.put("memory.home.github", b"{")
    assert await store.memory("home", "github") == (None, revision)
    await values.put("config.home", b"{")
    with pytest.raises(Corrupt, match="connectors of home"):
        await store.record("home")


async def test_a_namespace_that_is_deleted_leaves_nothing(store, values):
    await store.change("home", put(GITHUB))
    await store.remember("home", "github", Memory("r1"), 0)
    await store.forget("home")
    assert await values.keys() == []


def test_every_configuration_has_a_revision_of_its_own():
    assert new_configured(None, {}).revision != new_configured(None, {}).revision
