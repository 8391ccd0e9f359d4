"""What is looked after while nobody switches."""

from __future__ import annotations

from flux_actors.log.memory import MemoryGenerations, MemoryKeyValue, MemoryLog
from flux_actors.router.succession import Succession, take_over
from flux_actors.router.topology import LOG_KEY, SWITCHING_KEY, LogRegistry, encode

OLD = LogRegistry("log", 2)
NEW = LogRegistry("next", 4, generation=2)


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
