"""When a connector polls, what becomes of it, and what is remembered; by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.connectors.base import Connector
from flux_actors.connectors.polling import Account, Parts, Polling
from flux_actors.connectors.records import Memory
from flux_actors.errors import Corrupt, Refused, Unavailable
from tests.unit.connectors.fake_parts import NOW_S, FakeClock, KeptMemory, ListWriter, ScriptedWeb, settle

TOKEN = "s3cret-token"


class Counting(Connector):
    """Yields how often it was polled; `faults` are raised behind what was yielded, in turn."""

    interval_s = 60.0

    def __init__(self) -> None:
        self.polled: list[float] = []
        self.faults: list[BaseException] = []
        self.held: asyncio.Event | None = None

    async def poll(self, context: Any) -> Any:
        self.polled.append(context.now_s())
        if self.held is not None:
            await self.held.wait()
        context.state["polls"] = len(self.polled)
        yield "counter", {"polls": len(self.polled)}
        if self.faults:
            raise self.faults.pop(0)


class Desk:
    """One polling and what it stands on."""

    def __init__(self, memory: Memory | None = None, connector: Counting | None = None) -> None:
        self.connector = connector or Counting()
        self.writer = ListWriter()
        self.memory = KeptMemory(memory)
        self.clock = FakeClock()
        account = Account("default/counting", "r1", {}, TOKEN)
        web = ScriptedWeb(lambda *_: AssertionError())
        parts = Parts(web, self.writer, self.memory, self.clock, lambda: 0.5)
        self.polling = Polling(self.connector, account, parts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Desk]:
        task = asyncio.create_task(self.polling.run())
        await settle()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    def told(self) -> tuple[bool, str | None]:
        return self.polling.memory.failing, self.polling.memory.last_error

    def polls_at(self) -> list[float]:
        return [at - NOW_S for at in self.connector.polled]


async def test_the_first_poll_is_at_once_and_the_next_an_interval_later():
    async with Desk().running() as desk:
        assert desk.polls_at() == [0]
        assert desk.writer.written == [("counter", {"polls": 1})]
        await desk.clock.advance(59)
        assert desk.polls_at() == [0]
        await desk.clock.advance(61)
        assert desk.polls_at() == [0, 60, 120]
        assert desk.told() == (False, None)
        assert desk.polling.memory.last_poll_ms == int((NOW_S + 120) * 1000)


async def test_a_restart_keeps_to_the_time_that_was_remembered():
    kept = Memory("r1", last_poll_ms=1, not_before_ms=int((NOW_S + 30) * 1000), state={"polls": 7})
    async with Desk(kept).running() as desk:
        assert desk.polls_at() == []
        assert desk.polling.memory == kept
        await desk.clock.advance(30)
        assert desk.polls_at() == [30]


async def test_the_memory_of_another_configuration_does_not_count():
    kept = Memory("r0", last_error="old", failing=True, not_before_ms=int((NOW_S + 9999) * 1000))
    async with Desk(kept).running() as desk:
        assert desk.polls_at() == [0]
        assert desk.told() == (False, None)


async def test_failures_double_the_distance_up_to_the_most_and_a_good_poll_ends_them():
    async with Desk().running() as desk:
        desk.connector.faults = [Corrupt("nonsense")] * 12
        await desk.clock.advance(3000)
        polls = desk.polls_at()[1:14]
        waits = [after - before for before, after in pairwise(polls)]
        assert waits == [60, 60, 60, 60, 60, 60, 64, 128, 256, 300, 300, 300]
        await desk.clock.advance(600)
        assert desk.told() == (False, None)
        assert desk.polling.memory.failures == 0


async def test_the_circuit_opens_once_in_the_log(lines):
    async with Desk().running() as desk:
        desk.connector.faults = [Unavailable("away")] * 8
        await desk.clock.advance(1500)
    events = [line["event"] for line in lines]
    assert events.count("connector.failed") == events.count("connector.circuit_open") == 1


@pytest.mark.parametrize(("asked_s", "next_s"), [(200, 200.5), (10, 60), (10**9, 86_400.5)])
async def test_it_stays_away_for_as_long_as_it_was_asked_to(asked_s, next_s):
    desk = Desk()
    desk.connector.faults = [Unavailable("later", asked_s)]
    async with desk.running():
        assert desk.told() == (True, "later")
        await desk.clock.advance(next_s - 1)
        assert len(desk.connector.polled) == 1
        await desk.clock.advance(1)
        assert len(desk.connector.polled) == 2


async def test_the_wait_that_was_asked_for_is_kept_at_once():
    desk = Desk()
    desk.connector.faults = [Unavailable("later", 3600)]
    async with desk.running():
        kept = desk.memory.memory
        assert kept is not None
        assert kept.not_before_ms >= (NOW_S + 3600) * 1000
        assert kept.last_error == "later"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_tried_again_after_an_hour(status):
    desk = Desk()
    desk.connector.faults = [Refused("no", status)]
    async with desk.running():
        await desk.clock.advance(3599)
        assert len(desk.connector.polled) == 1
        await desk.clock.advance(1)
        assert len(desk.connector.polled) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Refused("an address that must not be called"), "an address that must not be called"),
        (TimeoutError(), "a poll took longer than 300 s"),
        (ValueError(f"bad {TOKEN}"), "the connector met a fault of its own (ValueError)"),
        (Corrupt(f"echoed {TOKEN}!"), "echoed ***!"),
        (Corrupt("x" * 1000), "x" * limits.connector_error_chars_max),
    ],
    ids=["refused", "timeout", "fault", "token", "long"],
)
async def test_what_went_wrong_is_told_in_a_short_text_without_the_token(fault, told, lines):
    desk = Desk()
    desk.connector.faults = [fault]
    async with desk.running():
        assert desk.told() == (True, told)
    assert TOKEN not in str(lines)
    assert TOKEN not in repr(desk.polling.memory)


async def test_what_was_yielded_before_a_fault_is_written_and_what_was_remembered_then_is_not():
    desk = Desk()
    desk.connector.faults = [Corrupt("half way")]
    async with desk.running():
        assert desk.writer.written == [("counter", {"polls": 1})]
        assert desk.polling.memory.state == {}
        await desk.clock.advance(60)
        assert desk.polling.memory.state == {"polls": 2}


async def test_what_could_not_be_written_is_a_failed_poll_that_remembers_nothing():
    desk = Desk()
    desk.writer.fault = Unavailable("the log is away")
    async with desk.running():
        assert desk.told() == (True, "the log is away")
        assert desk.polling.memory.state == {}
        desk.writer.fault = None
        await desk.clock.advance(60)
        assert desk.writer.written == [("counter", {"polls": 2})]


async def test_a_poll_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "connector_poll_s", 0.01)
    desk = Desk()
    desk.connector.held = asyncio.Event()
    async with desk.running():
        async with asyncio.timeout(5):
            while desk.told() == (False, None):  # noqa: ASYNC110 - nobody tells when a poll was given up
                await asyncio.sleep(0.001)
        assert desk.polling.memory.failing
        assert desk.writer.written == []


async def test_what_is_cancelled_writes_nothing_more():
    desk = Desk()
    desk.connector.held = asyncio.Event()
    async with desk.running():
        pass
    assert desk.writer.written == []


async def test_endless_entities_end_at_the_bound(monkeypatch):
    class Endless(Counting):
        async def poll(self, context: Any) -> Any:
            number = 0
            while True:
                number += 1
                yield f"e{number}", {}

    monkeypatch.setattr(limits, "connector_poll_entities_max", 20)
    desk = Desk(connector=Endless())
    async with desk.running():
        assert desk.told() == (True, "more than 20 entities in one poll")
        assert len(desk.writer.written) == 20


async def test_a_connector_cannot_remember_without_end(monkeypatch):
    monkeypatch.setattr(limits, "connector_state_bytes_max", 5)
    async with Desk().running() as desk:
        failing, told = desk.told()
        assert failing
        assert "remembers more than 5 bytes" in str(told)


async def test_notes_are_told_without_counting_as_a_failure():
    class Noting(Counting):
        async def poll(self, context: Any) -> Any:
            context.note(f"one part: no {TOKEN}")
            context.wait_until_s = NOW_S + 500
            yield "x", {}

    desk = Desk(connector=Noting())
    async with desk.running():
        assert desk.told() == (False, "one part: no ***")
        assert desk.polling.memory.not_before_ms == (NOW_S + 500) * 1000


async def test_one_that_asks_to_be_polled_without_a_pause_is_given_one():
    class Restless(Counting):
        interval_s = 0.0

    connector = Restless()
    desk = Desk(connector=connector)
    async with desk.running():
        await desk.clock.advance(3)
        assert desk.polls_at() == [0, 1, 2, 3]


async def test_notes_that_are_no_texts_are_a_fault_of_the_connector():
    class Odd(Counting):
        async def poll(self, context: Any) -> Any:
            context.notes.append(7)
            yield "x", {}

    async with Desk(connector=Odd()).running() as desk:
        assert desk.told() == (True, "the connector met a fault of its own (TypeError)")


async def test_good_polls_are_kept_every_ten_seconds_and_what_changes_at_once():
    class Quick(Counting):
        interval_s = 1.0

        async def poll(self, context: Any) -> Any:
            self.polled.append(context.now_s())
            yield "x", {}
            if self.faults:
                raise self.faults.pop(0)

    quick = Quick()
    desk = Desk(connector=quick)
    async with desk.running():
        await desk.clock.advance(20)
        assert len(quick.polled) == 21
        assert desk.memory.saves == 3
        quick.faults = [Corrupt("now")]
        await desk.clock.advance(1)
        assert desk.memory.saves == 4
        assert desk.memory.memory is not None
        assert desk.memory.memory.last_error == "now"
        await desk.polling.save()
        await desk.polling.save()
        assert desk.memory.saves == 4


async def test_a_store_that_is_away_is_waited_for_and_loses_no_poll():
    desk = Desk()
    desk.memory.load_faults = [Unavailable("away"), Unavailable("away")]
    desk.memory.save_faults = [Unavailable("away")]
    async with desk.running():
        await desk.clock.advance(limits.connector_look_s * 2)
        assert len(desk.connector.polled) == 1
        assert desk.memory.saves == 0
        await desk.clock.advance(60)
        assert desk.memory.saves == 1


async def test_polls_failures_and_events_are_counted():
    desk = Desk()
    desk.connector.faults = [Unavailable("away")]
    counts = desk.polling._parts.counts  # noqa: SLF001 - who made the polling holds them
    async with desk.running():
        assert (counts.polls, counts.failures, counts.written) == (1, 1, 1)
        await desk.clock.advance(120)
    assert counts.polls > 1
    assert counts.failures == 1
