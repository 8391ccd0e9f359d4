"""What is noted of a log once and for all."""

from __future__ import annotations

import pytest

from flux_actors.errors import Refused
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.registering import fewest_positions, note_history, register_log
from flux_actors.router.topology import LOG_KEY, LogRegistry, decode_registry

NOTHING = frozenset()


class TestThePositionsThatWereKept:
    async def test_are_the_fewest_that_any_setting_asked_for(self):
        store = MemoryKeyValue()
        for positions, fewest in ((300, 300), (500, 300), (100, 100), (400, 100)):
            await note_history(store, positions, log_is_new=positions == 300)
            assert await fewest_positions(store, positions) == fewest
        assert await fewest_positions(store, 7) == 7  # a door that reads before the router has noted it

    async def test_are_none_of_a_log_that_is_older_than_the_note(self):
        store = MemoryKeyValue()
        assert await fewest_positions(store, 500) == 0
        await note_history(store, 500, log_is_new=False)
        assert await fewest_positions(store, 500) == 0


class TestTheRegistryOfALog:
    async def test_is_made_on_the_first_start(self):
        store = MemoryKeyValue()
        registry = await register_log(store, "id", 7, frozenset({"b", "a"}))
        assert registry == LogRegistry("id", 7, ["a", "b"])
        assert decode_registry((await store.get(LOG_KEY)).value) == registry

    async def test_has_four_partitions_unless_told_otherwise(self):
        assert (await register_log(MemoryKeyValue(), "id", None, NOTHING)).partitions == 4

    @pytest.mark.parametrize("partitions", [None, 7])
    async def test_is_read_on_later_starts(self, partitions):
        store = MemoryKeyValue()
        first = await register_log(store, "id", 7, frozenset({"a"}))
        assert await register_log(store, "another", partitions, frozenset({"b"})) == first

    async def test_cannot_be_given_another_number_of_partitions(self):
        store = MemoryKeyValue()
        await register_log(store, "id", 7, NOTHING)
        with pytest.raises(Refused, match="has 7 partitions, not 3"):
            await register_log(store, "id", 3, NOTHING)

    async def test_is_not_overwritten_by_a_router_that_did_not_see_it(self, monkeypatch):
        store = MemoryKeyValue()
        first = await register_log(store, "first", 7, NOTHING)

        async def see_nothing(_):
            return None

        with monkeypatch.context() as blind:
            blind.setattr(store, "get", see_nothing)
            with pytest.raises(Refused) as refused:
                await register_log(store, "second", 3, NOTHING)
        assert refused.value.status == 409
        assert decode_registry((await store.get(LOG_KEY)).value) == first
