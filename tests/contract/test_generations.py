"""Every `Generations`: a log that is closed takes nothing from anybody, and takes it again once opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.closing import JetStreamGenerations
from flux_actors.log.connection import connect
from flux_actors.log.generations import Generations, origin_of
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.memory import MemoryGenerations, MemoryLog
from flux_actors.log.ports import EventLog

LAST = b"the last"


class Logs(NamedTuple):
    generations: Generations
    first: EventLog
    second: EventLog


class Sure:
    """Whether something may go on: it is asked, and says so, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self._error = error

    async def __call__(self) -> None:
        self.asked += 1
        if self._error is not None:
            raise self._error


@pytest.fixture(params=["memory", pytest.param("jetstream", marks=pytest.mark.real)])
async def logs(request: pytest.FixtureRequest) -> AsyncIterator[Logs]:
    if request.param == "memory":
        first, second = MemoryLog(2), MemoryLog(2, "next", generation=2)
        yield Logs(MemoryGenerations({1: first, 2: second}), first, second)
        return
    client = await connect(request.getfixturevalue("nats_server").access, "test")
    generations = JetStreamGenerations(client)
    made = [JetStreamLog(client), JetStreamLog(client, 2)]
    for log, log_id in zip(made, ("log", "next"), strict=True):
        await log.create(2, log_id, 1)
    try:
        yield Logs(generations, *made)
    finally:
        await generations.remove_earlier(9)
        await client.close()


async def put(log: EventLog, name: str, partition: int = 0) -> int:
    return await log.append(partition, name.encode(), name, 10.0)


async def all_of(log: EventLog, partition: int = 0) -> list[bytes]:
    bounds = await log.bounds(partition)
    return [await log.block(partition, sequence) for sequence in range(bounds.first, bounds.last + 1)]


async def test_what_is_closed_takes_nothing_behind_the_last_block(logs: Logs):
    assert await put(logs.first, "one") == 1
    assert await logs.generations.close(1, 0, LAST) == 2
    with pytest.raises(Unavailable):
        await put(logs.first, "late")
    assert await put(logs.first, "elsewhere", 1) == 1
    assert await all_of(logs.first) == [b"one", LAST]


async def test_closing_again_stores_another_last_block(logs: Logs):
    assert [await logs.generations.close(1, 0, LAST) for _ in range(2)] == [1, 2]


async def test_what_is_opened_again_takes_what_was_tried_before_once(logs: Logs):
    await put(logs.first, "one")
    await logs.generations.close(1, 0, LAST)
    with pytest.raises(Unavailable):
        await put(logs.first, "two")
    await logs.generations.reopen(1, 0)
    await logs.generations.reopen(1, 0)
    assert await put(logs.first, "two") == 3
    assert await put(logs.first, "one") == 1  # a retry
    assert await all_of(logs.first) == [b"one", LAST, b"two"]


async def test_what_was_on_its_way_stands_in_front_of_the_last_block(logs: Logs):
    racing = [asyncio.create_task(put(logs.first, f"b{number}")) for number in range(50)]
    await asyncio.sleep(0)
    last = await logs.generations.close(1, 0, LAST)
    outcomes = await asyncio.gather(*racing, return_exceptions=True)
    stored = await all_of(logs.first)
    assert len(stored) == last
    assert stored[-1] == LAST
    for number, outcome in enumerate(outcomes):  # what was acknowledged is there, whatever else is
        assert isinstance(outcome, Unavailable) or stored[outcome - 1] == f"b{number}".encode()


async def test_a_generation_has_sequences_of_its_own(logs: Logs):
    bounds = await logs.second.bounds(0)
    assert (bounds.origin, bounds.first, bounds.last) == (origin_of(2), origin_of(2), origin_of(2) - 1)
    assert bounds.whole
    assert await put(logs.second, "one") == origin_of(2)


async def test_what_is_earlier_goes_open_or_closed_and_nothing_else(logs: Logs):
    await put(logs.second, "one")
    assert await logs.generations.remove_earlier(1) == 0
    await logs.generations.close(1, 0, LAST)
    await logs.generations.close(2, 0, LAST)
    assert await logs.generations.remove_earlier(2) == 2
    assert await all_of(logs.second) == [b"one", LAST]
    assert (await logs.second.bounds(1)).whole


async def test_what_a_run_has_left_goes(logs: Logs):
    sure = Sure()
    assert await logs.generations.remove_unfinished(2, sure) == 0
    assert await logs.generations.remove_unfinished(1, sure) == 2
    assert sure.asked
    assert (await logs.first.bounds(1)).last == 0


async def test_what_was_the_log_once_was_not_left_by_a_run(logs: Logs):
    for partition in range(2):
        await logs.generations.close(2, partition, LAST)
    assert await logs.generations.remove_unfinished(1, Sure()) == 0
    assert await all_of(logs.second) == [LAST]


async def test_nothing_that_a_run_has_left_goes_once_it_may_not_be_left(logs: Logs):
    with pytest.raises(Refused, match="somebody else"):
        await logs.generations.remove_unfinished(1, Sure(Refused("somebody else", 409)))
    assert await put(logs.second, "one", 0) == await put(logs.second, "one", 1)


async def test_what_is_open_is_told(logs: Logs):
    assert await logs.generations.is_open(1, 0)
    await logs.generations.close(1, 0, LAST)
    assert not await logs.generations.is_open(1, 0)
    assert await logs.generations.is_open(1, 1)
    await logs.generations.reopen(1, 0)
    assert await logs.generations.is_open(1, 0)


@pytest.mark.real
async def test_a_stream_is_otherwise_as_it_was(nats_server: Any):
    client = await connect(nats_server.access, "test")
    generations, log = JetStreamGenerations(client), JetStreamLog(client, 3)
    await log.create(1, "log", 1)
    try:
        name = "FLUX_EVENTS_G3_0"
        before = (await client.jetstream().stream_info(name)).config
        await generations.close(3, 0, LAST)
        await generations.reopen(3, 0)
        after = (await client.jetstream().stream_info(name)).config
        assert after.as_dict() == before.as_dict()
    finally:
        await generations.remove_unfinished(1, Sure())
        with pytest.raises(Corrupt):
            await log.bounds(0)
        await client.close()
