"""The roll call: everybody's report in one answer, and nobody waited for in vain for long."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryBus
from flux_actors.log.roll_call import QUESTION_SUBJECT, Answerer, RollCall
from flux_actors.metering.samples import Kind, Metric, encode_report

SOME = Metric("flux_some", Kind.GAUGE, "some")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "roll_wait_s", 0.2)
    monkeypatch.setattr(limits, "roll_fresh_s", 0.0)


@pytest.fixture
def bus():
    return MemoryBus()


async def answering(bus, process, role="shard", values=(1,)):
    answerer = Answerer(bus, process, role, [lambda: [SOME.of(value) for value in values]])
    await answerer.open()
    return answerer


async def calling(bus, *expected):
    roll = RollCall(bus, "caller", lambda: expected)
    await roll.open()
    return roll


def names(roll):
    return sorted({report.process for report in roll.reports})


async def test_everybody_answers(bus):
    await answering(bus, "a")
    await answering(bus, "b", "router")
    roll = await (await calling(bus, "a")).call()
    assert names(roll) == ["a", "b"]
    assert {report.role for report in roll.reports} == {"shard", "router"}
    assert roll.missing == 0


async def test_who_should_answer_and_does_not_is_missing(bus):
    await answering(bus, "a")
    roll = await (await calling(bus, "a", "gone")).call()
    assert (names(roll), roll.missing) == (["a"], 1)
    assert roll.took_s >= 0.01


async def test_who_answered_the_last_time_is_expected_once_more(bus):
    await answering(bus, "a")
    leaving = await answering(bus, "b")
    caller = await calling(bus)
    assert (await caller.call()).missing == 0
    await leaving.close()
    assert (await caller.call()).missing == 1
    assert (await caller.call()).missing == 0


async def test_the_first_call_waits_for_those_that_nobody_named(bus):
    slow = await answering(bus, "slow")
    answer = slow._answer  # noqa: SLF001 - it takes some turns of the loop
    await slow.close()

    async def later(question):
        for _ in range(3):
            await asyncio.sleep(0)
        await answer(question)

    await bus.subscribe(QUESTION_SUBJECT, later)
    await answering(bus, "a")
    assert names(await (await calling(bus, "a")).call()) == ["a", "slow"]


async def test_once_all_are_known_nobody_is_waited_for(bus, monkeypatch):
    await answering(bus, "a")
    caller = await calling(bus, "a")
    await caller.call()
    monkeypatch.setattr(limits, "roll_wait_s", 1_000.0)
    assert names(await caller.call()) == ["a"]


async def test_a_report_in_parts_is_whole_or_missing(bus, monkeypatch):
    monkeypatch.setattr(limits, "report_samples_max", 2)
    await answering(bus, "long", values=range(5))
    caller = await calling(bus, "long", "torn")

    async def torn(question):
        call, _, where = question.decode().partition(" ")
        parts = list(encode_report("torn", "shard", [SOME.of(n) for n in range(5)], int(call)))
        await bus.publish(where, parts[0])

    await bus.subscribe(QUESTION_SUBJECT, torn)
    roll = await caller.call()
    assert [sample.value for report in roll.reports for sample in report.samples] == [0, 1, 2, 3, 4]
    assert (names(roll), roll.missing) == (["long"], 1)


async def test_an_answer_to_an_earlier_call_does_not_count(bus):
    where = []

    async def note(question):
        where.append(question.decode().partition(" ")[2])

    await bus.subscribe(QUESTION_SUBJECT, note)
    caller = await calling(bus, "late")
    await caller.call()
    call = asyncio.create_task(caller.call())
    await asyncio.sleep(0)
    (late,) = encode_report("late", "shard", [], 1)
    await bus.publish(where[0], late)
    assert (await call).missing == 1


async def test_calls_at_the_same_time_are_one_and_right_behind_it_too(bus, monkeypatch):
    asked = []

    async def count(question):
        asked.append(question)

    await bus.subscribe(QUESTION_SUBJECT, count)
    await answering(bus, "a")
    monkeypatch.setattr(limits, "roll_fresh_s", 1_000.0)
    caller = await calling(bus, "a")
    rolls = await asyncio.gather(*(caller.call() for _ in range(3)))
    assert await caller.call() == rolls[0] == rolls[2]
    assert len(asked) == 1


async def test_what_is_no_report_is_told_and_takes_nobody_down(bus):
    caller = await calling(bus, "a")
    await answering(bus, "a")

    async def nonsense(question):
        await bus.publish(question.decode().partition(" ")[2], b"\xc1")

    await bus.subscribe(QUESTION_SUBJECT, nonsense)
    with structlog.testing.capture_logs() as lines:
        assert names(await caller.call()) == ["a"]
    assert [line["event"] for line in lines] == ["roll.unreadable"]


async def test_a_caller_without_a_bus_hears_why(bus, monkeypatch):
    async def away(subject, data):
        raise Unavailable("away")

    caller = await calling(bus)
    monkeypatch.setattr(bus, "publish", away)
    with pytest.raises(Unavailable):
        await caller.call()


async def test_who_closed_neither_calls_nor_answers(bus):
    answerer = await answering(bus, "a")
    await answerer.close()
    caller = await calling(bus)
    assert names(await caller.call()) == []
    await caller.close()
