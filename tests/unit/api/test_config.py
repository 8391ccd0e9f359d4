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

WHO = "admin token"


class Book:
    """An audit that keeps its records in a list, or cannot."""

    def __init__(self):
        self.records = []
        self.full = False

    async def record(self, who, what, details):
        if self.full:
            raise Unavailable("the log is away")
        self.records.append((who, what, details))


@pytest.fixture
def store():
    return MemoryKeyValue()


@pytest.fixture
def book():
    return Book()


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


async def test_a_change_is_stored_and_leaves_the_rest(book, keeper, store):
    config = await keeper.change({"body_size_limit_single_bytes": 2_048}, WHO, book)
    assert config == RuntimeConfig(body_size_limit_single_bytes=2_048) == keeper.config
    assert await stored(store) == config


async def test_another_doors_change_is_followed(book, keeper, store):
    other = ConfigKeeper(store)
    await other.change({"rate_limit_per_namespace_per_minute": 5}, WHO, book)
    await until(lambda: keeper.config.rate_limit_per_namespace_per_minute == 5)


async def test_what_was_read_before_a_change_was_stored_does_not_undo_it(book, store, monkeypatch):
    monkeypatch.setattr(limits, "config_poll_s", 0.0)
    keeper = ConfigKeeper(store)
    await keeper.change({"rate_limit_per_namespace_per_minute": 5}, WHO, book)
    old = await store.get(CONFIG_KEY)
    await keeper.change({"rate_limit_per_namespace_per_minute": 6}, WHO, book)
    told = []
    keeper.tell(lambda config, revision: told.append(config.rate_limit_per_namespace_per_minute))
    answered = []

    async def get(key):
        answered.append(key)
        return old

    monkeypatch.setattr(store, "get", get)
    await keeper.open()
    await until(lambda: len(answered) > 3)
    await keeper.close()
    assert told == [6]
    await keeper.change({"rate_limit_enabled": False}, WHO, book)  # and is no other admin's change
    assert keeper.config == RuntimeConfig(rate_limit_enabled=False, rate_limit_per_namespace_per_minute=6)
    assert [what for _, what, _ in book.records] == ["config.change"] * 3


async def test_a_change_is_merged_into_what_another_admin_stored_meanwhile(book, store):
    one, other = ConfigKeeper(store), ConfigKeeper(store)
    await one.change({"rate_limit_per_namespace_per_minute": 5}, WHO, book)
    await other.change({"body_size_limit_single_bytes": 2_048}, WHO, book)
    merged = RuntimeConfig(rate_limit_per_namespace_per_minute=5, body_size_limit_single_bytes=2_048)
    assert await stored(store) == other.config == merged


async def test_one_that_loses_the_race_tries_again(book, store, monkeypatch):
    keeper, other = ConfigKeeper(store), ConfigKeeper(store)
    put, races = store.put, iter([True])

    async def put_late(key, value, expected=None):
        if next(races, False):
            monkeypatch.setattr(store, "put", put)
            await other.change({"rate_limit_enabled": False}, WHO, book)
        return await put(key, value, expected)

    monkeypatch.setattr(store, "put", put_late)
    await keeper.change({"body_size_limit_single_bytes": 2_048}, WHO, book)
    assert await stored(store) == RuntimeConfig(rate_limit_enabled=False, body_size_limit_single_bytes=2_048)


async def test_one_that_always_loses_says_so(book, store, monkeypatch):
    async def lose(*_):
        raise Refused("changed by somebody else", 409)

    monkeypatch.setattr(store, "put", lose)
    with pytest.raises(Unavailable, match="being changed by others"):
        await ConfigKeeper(store).change({"rate_limit_enabled": False}, WHO, book)


async def test_a_change_that_does_not_fit_is_not_stored(book, keeper, store):
    with pytest.raises(Refused):
        await keeper.change({"rate_limit_enabled": 1}, WHO, book)
    assert await store.get(CONFIG_KEY) is None


async def test_a_store_that_is_away_leaves_the_config_in_force(book, keeper, store, monkeypatch, lines):
    await keeper.change({"rate_limit_enabled": False}, WHO, book)

    async def away(_):
        raise Unavailable("the store cannot be reached")

    with monkeypatch.context() as outage:
        outage.setattr(store, "get", away)
        await until(lambda: any(line["event"] == "config.unread" for line in lines))
    assert keeper.config.rate_limit_enabled is False
    await ConfigKeeper(store).change({"rate_limit_enabled": True}, WHO, book)
    await until(lambda: keeper.config.rate_limit_enabled)


async def test_a_change_is_recorded_with_both_values_before_it_is_stored(store, book, monkeypatch):
    keeper, put = ConfigKeeper(store), store.put
    recorded_at_put = []

    async def watched(*arguments):
        recorded_at_put.extend(book.records)
        return await put(*arguments)

    monkeypatch.setattr(store, "put", watched)
    await keeper.change({"rate_limit_enabled": False, "body_size_limit_single_bytes": 2_048}, WHO, book)
    changes = {
        "rate_limit_enabled": {"from": True, "to": False},
        "body_size_limit_single_bytes": {"from": 1_048_576, "to": 2_048},
    }
    assert recorded_at_put == book.records == [(WHO, "config.change", changes)]


@pytest.mark.parametrize("update", [{}, {"rate_limit_enabled": True}])
async def test_what_changes_nothing_is_neither_recorded_nor_stored(store, book, update):
    assert await ConfigKeeper(store).change(update, WHO, book) == RuntimeConfig()
    assert (book.records, await store.get(CONFIG_KEY)) == ([], None)


async def test_a_change_that_is_refused_is_not_recorded(store, book):
    with pytest.raises(Refused):
        await ConfigKeeper(store).change({"unknown": 1}, WHO, book)
    assert book.records == []


async def test_a_change_that_cannot_be_recorded_is_not_made(store, book):
    book.full = True
    keeper = ConfigKeeper(store)
    with pytest.raises(Unavailable):
        await keeper.change({"rate_limit_enabled": False}, WHO, book)
    assert keeper.config == RuntimeConfig()
    assert await store.get(CONFIG_KEY) is None


async def test_a_change_that_comes_second_is_recorded_as_it_is_made_in_the_end(store, book, monkeypatch):
    other, put = ConfigKeeper(store), store.put

    async def put_late(*arguments):
        monkeypatch.setattr(store, "put", put)
        await other.change({"rate_limit_per_namespace_per_minute": 5}, "other", Book())
        return await put(*arguments)

    monkeypatch.setattr(store, "put", put_late)
    await ConfigKeeper(store).change({"rate_limit_per_namespace_per_minute": 7}, WHO, book)
    name = "rate_limit_per_namespace_per_minute"
    assert [(what, details.get(name)) for _, what, details in book.records] == [
        ("config.change", {"from": 10_000, "to": 7}),
        ("config.change.failed", None),
        ("config.change", {"from": 5, "to": 7}),
    ]


@pytest.mark.parametrize("full", [False, True])
async def test_a_recorded_change_that_the_store_does_not_take_is_followed_by_a_record_of_that(
    store, book, monkeypatch, full
):
    async def away(*_):
        book.full = full
        raise Unavailable("the store cannot be reached")

    monkeypatch.setattr(store, "put", away)
    with pytest.raises(Unavailable, match="store cannot be reached"):
        await ConfigKeeper(store).change({"rate_limit_enabled": False}, WHO, book)
    expected = ["config.change"] if full else ["config.change", "config.change.failed"]
    assert [what for _, what, _ in book.records] == expected


async def test_who_wants_to_hear_of_it_hears_it_now_and_at_each_change_alone(book, keeper, store):
    heard = []
    keeper.tell(lambda config, revision: heard.append((config.rate_limit_per_namespace_per_minute, revision)))
    await keeper.change({"rate_limit_per_namespace_per_minute": 5}, WHO, book)
    await ConfigKeeper(store).change({"rate_limit_per_namespace_per_minute": 6}, WHO, book)
    await until(lambda: len(heard) == 3)
    await keeper._read()  # noqa: SLF001
    assert [limit for limit, _ in heard] == [limits.rate_per_minute, 5, 6]
    assert heard[1][1] < heard[2][1]
