"""Asking shards: again while a partition moves, until the time is over, and each failure by its name."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from flux_actors import limits
from flux_actors.behaviour import calls
from flux_actors.behaviour.calls import Answered, Ask, Failed, Read, Rows
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import (
    AskFailed,
    AskTimedOut,
    HandlerFailed,
    NotAskable,
    Refused,
    Unavailable,
)
from flux_actors.log.memory import MemoryBus
from flux_actors.native.asking import Asking

ROW = EntityRow("home/x", {"n": 1}, 5, 7)


class Shard:
    """Gives one answer after the other, the last one for ever; `None` is silence."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []

    async def answer(self, data):
        self.heard.append(calls.decode_request(data))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.Event().wait()
        return calls.encode(answer)


@pytest.fixture
def bus(monkeypatch):
    monkeypatch.setattr(limits, "native_retry_s", 0.001)
    monkeypatch.setattr(limits, "native_try_s", 0.01)
    return MemoryBus()


@pytest.fixture
def asking(bus):
    return Asking(bus)


async def serve(bus, *answers, partition=1):
    shard = Shard(*answers)
    await bus.serve(calls.call_subject(partition), shard.answer)
    return shard


async def test_a_read_says_what_it_wants(bus, asking):
    shard = await serve(bus, Rows(9, [ROW]))
    assert await asking.read(1, ["home/x"], 77, 5.0) == Rows(9, [ROW])
    assert shard.heard == [Read(["home/x"], 77, 0.01)]


async def test_a_read_is_asked_again_whatever_is_wrong(bus, asking):
    away, late = Failed(calls.AWAY, "recovers"), Failed(calls.LATE, "behind")
    shard = await serve(bus, away, None, late, Rows(9, [ROW]))
    assert (await asking.read(1, ["home/x"], 0, 5.0)).sequence == 9
    assert len(shard.heard) == 4


async def test_a_partition_that_comes_back_is_found(bus, asking):
    reading = asyncio.create_task(asking.read(1, ["home/x"], 0, 5.0))
    await asyncio.sleep(0.005)
    await serve(bus, Rows(9, [ROW]))
    assert (await reading).rows == [ROW]


async def test_a_partition_that_stays_away_is_unavailable(bus, asking):
    with pytest.raises(Unavailable, match="partition 1"):
        await asking.read(1, ["home/x"], 0, 0.02)
    await serve(bus, Failed(calls.REFUSED, "no"))
    with pytest.raises(Refused):
        await asking.read(1, ["home/x"], 0, 0.02)


async def test_a_question_is_answered(bus, asking):
    shard = await serve(bus, Failed(calls.AWAY, "recovers"), Answered({"n": 1}, {2: 8}))
    assert await asking.ask(1, "home/x", ["what"], "id", 3, 5.0) == Answered({"n": 1}, {2: 8})
    assert [(one.entity_id, one.content, one.ask_id, one.after) for one in shard.heard] == [
        ("home/x", ["what"], "id", 3)
    ] * 2
    assert isinstance(shard.heard[0], Ask)
    assert 0 < shard.heard[1].deadline_s < shard.heard[0].deadline_s <= 5.0


@pytest.mark.parametrize(
    ("kind", "error", "base", "status"),
    [
        (calls.REFUSED, NotAskable, Refused, 404),
        (calls.STOPPED, NotAskable, Refused, 409),
        (calls.FAULTED, HandlerFailed, Refused, 500),
        (calls.LATE, AskTimedOut, Unavailable, None),
        ("of a later version", AskTimedOut, Unavailable, None),
    ],
)
async def test_each_failure_has_its_name_and_travels(bus, asking, kind, error, base, status):
    shard = await serve(bus, Failed(kind, "the reason"))
    with pytest.raises(error, match="the reason") as failed:
        await asking.ask(1, "home/x", 1, "id", 0, 1.0)
    assert isinstance(failed.value, AskFailed)
    assert isinstance(failed.value, base)
    assert getattr(failed.value, "status", None) == status
    again = pickle.loads(pickle.dumps(failed.value))  # noqa: S301 - our own
    assert (type(again), again.message) == (error, "the reason")
    assert len(shard.heard) == 1


async def test_a_question_without_an_answer_is_asked_once(bus, asking):
    shard = await serve(bus, None)
    with pytest.raises(AskTimedOut, match="home/x did not answer"):
        await asking.ask(1, "home/x", 1, "id", 0, 0.02)
    assert len(shard.heard) == 1
    with pytest.raises(AskTimedOut):
        await asking.ask(0, "home/x", 1, "id", 0, 0.01)
