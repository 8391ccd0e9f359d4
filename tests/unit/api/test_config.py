"""The runtime config of a door: read, followed, and changed without losing another admin's change."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors import limits
from flux_actors.domain.runtime_config import RuntimeConfig
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.topology import CONFIG_KEY
from flux_api.config import ConfigKeeper
from tests.unit.api.standing import until


@pytest.fixture
def store():
    return MemoryKeyValue()


@pytest.fixture
async def keeper(store, monkeypatch):
    monkeypatch.setattr(limits, "config_poll_s", 0.0)
    keeper = ConfigKeeper(store)
    await keeper.open()
    yield keeper
    await keeper.close()


async def stored(store):
    found = await store.get(CONFIG_KEY)
    return msgspec.json.decode(found.value, type=RuntimeConfig)


async def test_without_a_stored_one_the_defaults_are_in_force(keeper):
    assert keeper.config == RuntimeConfig()


async def test_a_stored_one_is_in_force_from_the_start(store):
    await store.put(CONFIG_KEY, msgspec.json.encode(RuntimeConfig(rate_limit_enabled=False)))
    keeper = ConfigKeeper(store)
    await keeper.open()
    assert keeper.config.rate_limit_enabled is False
    await keeper.close()


async def test_a_change_is_stored_and_leaves_the_rest(keeper, store):
    config = await keeper.change({"body_size_limit_single_bytes": 2_048})
    assert config == RuntimeConfig(body_size_limit_single_bytes=2_048) == keeper.config
    assert await stored(store) == config


async def test_another_doors_change_is_followed(keeper, store):
    other = ConfigKeeper(store)
    await other.change({"rate_limit_per_namespace_per_minute": 5})
    await until(lambda: keeper.config.rate_limit_per_namespace_per_minute == 5)


async def test_a_change_is_merged_into_what_another_admin_stored_meanwhile(store):
    one, other = ConfigKeeper(store), ConfigKeeper(store)
    await one.change({"rate_limit_per_namespace_per_minute": 5})
    await other.change({"body_size_limit_single_bytes": 2_048})
    merged = RuntimeConfig(rate_limit_per_namespace_per_minute=5, body_size_limit_single_bytes=2_048)
    assert await stored(store) == other.config == merged


async def test_one_that_loses_the_race_tries_again(store, monkeypatch):
    keeper, other = ConfigKeeper(store), ConfigKeeper(store)
    put, races = store.put, iter([True])

    async def put_late(key, value, expected=None):
        if next(races, False):
            monkeypatch.setattr(store, "put", put)
            await other.change({"rate_limit_enabled": False})
        return await put(key, value, expected)

    monkeypatch.setattr(store, "put", put_late)
    await keeper.change({"body_size_limit_single_bytes": 2_048})
    assert await stored(store) == RuntimeConfig(rate_limit_enabled=False, body_size_limit_single_bytes=2_048)


async def test_one_that_always_loses_says_so(store, monkeypatch):
    async def lose(*_):
        raise Refused("changed by somebody else", 409)

    monkeypatch.setattr(store, "put", lose)
    with pytest.raises(Unavailable, match="being changed by others"):
        await ConfigKeeper(store).change({"rate_limit_enabled": False})


async def test_a_change_that_does_not_fit_is_not_stored(keeper, store):
    with pytest.raises(Refused):
        await keeper.change({"rate_limit_enabled": 1})
    assert await store.get(CONFIG_KEY) is None


async def test_a_store_that_is_away_leaves_the_config_in_force(keeper, store, monkeypatch, lines):
    await keeper.change({"rate_limit_enabled": False})

    async def away(_):
        raise Unavailable("the store cannot be reached")

    with monkeypatch.context() as outage:
        outage.setattr(store, "get", away)
        await until(lambda: any(line["event"] == "config.unread" for line in lines))
    assert keeper.config.rate_limit_enabled is False
    await ConfigKeeper(store).change({"rate_limit_enabled": True})
    await until(lambda: keeper.config.rate_limit_enabled)


async def test_who_wants_to_hear_of_it_hears_it_now_and_at_each_change_alone(keeper, store):
    heard = []
    keeper.tell(lambda config, revision: heard.append((config.rate_limit_per_namespace_per_minute, revision)))
    await keeper.change({"rate_limit_per_namespace_per_minute": 5})
    await ConfigKeeper(store).change({"rate_limit_per_namespace_per_minute": 6})
    await until(lambda: len(heard) == 3)
    await keeper._read()  # noqa: SLF001
    assert [limit for limit, _ in heard] == [limits.rate_per_minute, 5, 6]
    assert heard[1][1] < heard[2][1]
