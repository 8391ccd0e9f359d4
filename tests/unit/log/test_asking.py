"""Asking JetStream: each answer reaches who asked, and none in time is told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import nats.errors
import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.asking import Answers
from tests.unit.log.fake_nats import FakeNats
from tests.unit.log.virtual_clock import on_virtual_clock, settled


def answers_of(server: FakeNats) -> Answers:
    return Answers(server)  # type: ignore[arg-type]


async def answer(server: FakeNats, number: int, data: bytes, headers: dict[str, str] | None = None) -> None:
    """Answer request `number`."""
    _, _, reply = server.asked[number]
    await server.subscriptions[-1].receive(SimpleNamespace(subject=reply, data=data, headers=headers))


@on_virtual_clock
async def test_answers_find_who_asked_in_any_order_through_one_subscription() -> None:
    server = FakeNats()
    answers = answers_of(server)
    asking = [asyncio.create_task(answers.ask("s", b"%d" % n, 1.0, None)) for n in range(3)]
    await settled()
    assert len(server.subscriptions) == 1
    for number in (2, 0, 1):
        await answer(server, number, b"to %d" % number)
    assert [(await asked).data for asked in asking] == [b"to 0", b"to 1", b"to 2"]


@on_virtual_clock
async def test_no_answer_in_time_is_unavailable_and_a_late_one_is_forgotten() -> None:
    server = FakeNats()
    answers = answers_of(server)
    with pytest.raises(Unavailable, match="TimeoutError"):
        await answers.ask("s", b"", 2.0, None)
    assert asyncio.get_running_loop().time() == 2.0
    await answer(server, 0, b"late")
    asking = asyncio.create_task(answers.ask("s", b"", 2.0, None))
    await settled()
    await answer(server, 1, b"in time")
    assert (await asking).data == b"in time"
    assert answers.waiting == 0


@on_virtual_clock
async def test_nobody_listening_is_unavailable_at_once() -> None:
    server = FakeNats()
    server.answer = SimpleNamespace(data=b"", headers={"Status": "503"})
    with pytest.raises(Unavailable, match="nobody"):
        await answers_of(server).ask("s", b"", 2.0, None)
    assert asyncio.get_running_loop().time() == 0


@on_virtual_clock
async def test_listening_that_failed_is_tried_again_with_the_next_request() -> None:
    server = FakeNats(fault=nats.errors.ConnectionClosedError())
    answers = answers_of(server)
    with pytest.raises(Unavailable):
        await answers.ask("s", b"", 1.0, None)
    server.fault = None
    server.answer = SimpleNamespace(data=b"now", headers=None)
    assert (await answers.ask("s", b"", 1.0, None)).data == b"now"


@on_virtual_clock
async def test_one_who_gives_up_leaves_nothing_behind() -> None:
    server = FakeNats()
    answers = answers_of(server)
    leaving = asyncio.create_task(answers.ask("s", b"", 5.0, None))
    await settled()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await answer(server, 0, b"to nobody")
    staying = asyncio.create_task(answers.ask("s", b"", 5.0, None))
    await settled()
    await answer(server, 1, b"here")
    assert (await staying).data == b"here"
    assert answers.waiting == 0


@on_virtual_clock
async def test_a_client_that_takes_nothing_more_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once what waits in nats-py is full, its publish waits for ever."""
    server = FakeNats()
    answers = answers_of(server)

    async def stuck(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "publish", stuck)
    with pytest.raises(Unavailable, match="TimeoutError"):
        await answers.ask("s", b"", 2.0, None)
    assert asyncio.get_running_loop().time() == 2.0
    assert answers.waiting == 0
