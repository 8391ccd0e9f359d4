"""Claims of the registry, and what is looked after while nobody switches."""

from __future__ import annotations

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryGenerations, MemoryKeyValue, MemoryLog
from flux_actors.log.ports import Versioned
from flux_actors.router.succession import Succession, claim, registered, take_over
from flux_actors.router.topology import LOG_KEY, SWITCHING_KEY, LogRegistry, encode

OLD = LogRegistry("log", 2)
NEW = LogRegistry("next", 4, generation=2)


class Lagging(MemoryKeyValue):
    """Its replica that is asked is behind for some reads."""

    def __init__(self, behind: int) -> None:
        super().__init__()
        self.behind = behind
        self._was: Versioned | None = None

    async def get(self, key: str) -> Versioned | None:
        if key == LOG_KEY and self.behind and self._was is not None:
            self.behind -= 1
            return self._was
        return await super().get(key)

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        if key == LOG_KEY and self._was is None:
            revision = await super().put(key, value, expected)
            self._was = Versioned(value, revision)
            return revision
        return await super().put(key, value, expected)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux_actors.limits.log_look_s", 0.0)


async def switched(behind: int) -> Lagging:
    store = Lagging(behind)
    await take_over(store, await store.put(LOG_KEY, encode(OLD)), NEW)
    return store


async def test_what_is_claimed_is_current_whatever_a_replica_says():
    store = await switched(behind=2)
    assert (await claim(store)).registry == NEW
    assert store.behind == 0


async def test_nothing_is_claimed_where_all_replicas_stay_behind():
    with pytest.raises(Unavailable, match="changed by others"):
        await claim(await switched(behind=100))


async def test_of_two_claims_the_later_one_holds():
    store = MemoryKeyValue()
    await store.put(LOG_KEY, encode(OLD))
    first = await claim(store)
    await first.renew()
    second = await claim(store)
    with pytest.raises(Refused, match="run it again"):
        await first.renew()
    with pytest.raises(Refused):
        await take_over(store, first.revision, NEW)
    await second.renew()
    assert await registered(store) == OLD


async def test_there_is_nothing_to_claim_where_there_is_no_log():
    with pytest.raises(Unavailable, match="no log yet"):
        await claim(MemoryKeyValue())


class Beginning(MemoryGenerations):
    """A switch begins while it is looked."""

    def __init__(self, logs: dict[int, MemoryLog], store: MemoryKeyValue) -> None:
        super().__init__(logs)
        self._store = store

    async def is_open(self, generation: int, partition: int) -> bool:
        await self._store.put(SWITCHING_KEY, b"somebody")
        self.logs[generation].closed.add(partition)
        return False


async def test_a_switch_that_begins_is_not_taken_for_one_that_was_left():
    store, log = MemoryKeyValue(), MemoryLog(2, "log")
    revision = await store.put(LOG_KEY, encode(OLD))
    await Succession(store, OLD).look_after(Beginning({1: log}, store))
    assert log.closed == {0, 1}
    await take_over(store, revision, NEW)
