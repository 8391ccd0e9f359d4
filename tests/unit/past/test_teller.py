"""What a process that tells the past has for itself: its room, and the code store."""

from __future__ import annotations

from inspect import iscoroutinefunction

import pytest

from flux_actors import limits
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.errors import Corrupt
from flux_actors.past import teller
from flux_actors.past.teller import _LateCode, _Room


def test_room_is_what_this_process_takes_more_than_at_first(monkeypatch):
    room = _Room()
    assert room()
    monkeypatch.setattr(limits, "past_memory_bytes_max", -1)
    assert not _Room()()
    assert room()


def test_it_does_one_thing_after_the_other():
    """One coroutine among its methods, and Ray would make it an actor that does many at once."""
    assert not [name for name, member in vars(teller.TellerProcess).items() if iscoroutinefunction(member)]


async def test_the_code_store_is_opened_by_the_first_reducer_that_is_met(monkeypatch):
    opened = []

    async def open_store(client):
        opened.append(client)
        return MemoryCodeStore()

    monkeypatch.setattr(teller.JetStreamCodeStore, "open", open_store)
    source = _LateCode("client")
    assert opened == []
    for _ in range(2):
        with pytest.raises(Corrupt):
            await source.get("none")
    assert opened == ["client"]
