"""What every `Bus` promises (flux_actors/log/ports.py)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.bus import NatsBus
from flux_actors.log.connection import connect
from flux_actors.log.memory import MemoryBus
from flux_actors.log.ports import Bus, Calls
from tests.contract.conftest import RunningNats

TIMEOUT_S = 5.0


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    server: RunningNats = request.getfixturevalue("nats_server")
    client = await connect(server.access, "test")
    yield NatsBus(client)
    await client.close()


@pytest.fixture
def subject() -> str:
    return f"test.{uuid.uuid4().hex}"


class Listener(list[bytes]):
    """Keeps what it hears, and takes as long as it is told for each message."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.inside = 0
        self.inside_max = 0

    async def __call__(self, data: bytes) -> None:
        self.inside += 1
        self.inside_max = max(self.inside_max, self.inside)
        await self.go_on.wait()
        self.append(data)
        self.inside -= 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - what listeners heard is no event to wait for
            await asyncio.sleep(0.001)


async def test_message_reaches_every_present_subscriber_once(bus: Bus, subject: str) -> None:
    listeners = [Listener(), Listener()]
    for listener in listeners:
        await bus.subscribe(subject, listener)
    await bus.publish(subject, b"one")
    await bus.publish(subject, b"two")
    await until(lambda: all(len(listener) == 2 for listener in listeners))
    assert listeners == [[b"one", b"two"], [b"one", b"two"]]


async def test_messages_of_one_sender_come_in_order(bus: Bus, subject: str) -> None:
    heard = Listener()
    await bus.subscribe(subject, heard)
    sent = [b"%d" % number for number in range(500)]
    for data in sent:
        await bus.publish(subject, data)
    await until(lambda: len(heard) >= len(sent))
    assert heard == sent


async def test_message_of_any_bytes_comes_whole(bus: Bus, subject: str) -> None:
    heard = Listener()
    await bus.subscribe(subject, heard)
    sent = [b"", bytes(range(256)), b"\r\nMSG\r\n", b"x" * 1_000_000]
    for data in sent:
        await bus.publish(subject, data)
    await until(lambda: len(heard) == len(sent))
    assert heard == sent


async def test_message_without_listeners_is_gone(bus: Bus, subject: str) -> None:
    heard = Listener()
    await bus.publish(subject, b"early")
    await bus.subscribe(subject, heard)
    await bus.publish(f"{subject}.other", b"other")
    await bus.publish(subject, b"mine")
    await until(lambda: len(heard) > 0)
    assert heard == [b"mine"]


async def test_subscription_that_ended_hears_nothing_and_the_others_go_on(bus: Bus, subject: str) -> None:
    leaving, staying = Listener(), Listener()
    subscription = await bus.subscribe(subject, leaving)
    await bus.subscribe(subject, staying)
    await bus.publish(subject, b"both")
    await until(lambda: len(leaving) == len(staying) == 1)
    await subscription.unsubscribe()
    await bus.publish(subject, b"one")
    await until(lambda: len(staying) == 2)
    assert leaving == [b"both"]


async def test_listener_hears_one_message_at_a_time(bus: Bus, subject: str) -> None:
    heard = Listener()
    heard.go_on.clear()
    await bus.subscribe(subject, heard)
    sending = [asyncio.create_task(bus.publish(subject, data)) for data in (b"one", b"two", b"three")]
    await until(lambda: heard.inside > 0)
    await bus_is_quiet(bus, subject)
    heard.go_on.set()
    await asyncio.gather(*sending)
    await until(lambda: len(heard) == 3)
    assert heard.inside_max == 1
    assert heard == [b"one", b"two", b"three"]


async def bus_is_quiet(bus: Bus, subject: str) -> None:
    """Wait until a message sent now would have come through."""
    probe = Listener()
    subscription = await bus.subscribe(f"{subject}.probe", probe)
    await bus.publish(f"{subject}.probe", b"")
    await until(lambda: len(probe) == 1)
    await subscription.unsubscribe()


async def test_slow_listener_holds_up_nobody(bus: Bus, subject: str) -> None:
    slow, quick = Listener(), Listener()
    slow.go_on.clear()
    await bus.subscribe(subject, slow)
    await bus.subscribe(subject, quick)
    async with asyncio.timeout(TIMEOUT_S):
        for number in range(3):
            await bus.publish(subject, b"%d" % number)
    await until(lambda: len(quick) == 3)
    assert slow == []
    slow.go_on.set()
    await until(lambda: len(slow) == 3)


async def test_question_is_answered(bus: Calls, subject: str) -> None:
    async def answer(data: bytes) -> bytes:
        return data[::-1]

    service = await bus.serve(subject, answer)

    assert await bus.request(subject, b"flux", TIMEOUT_S) == b"xulf"

    await service.unsubscribe()


async def test_questions_are_answered_side_by_side(bus: Calls, subject: str) -> None:
    second = asyncio.Event()

    async def answer(data: bytes) -> bytes:
        if data == b"first":
            await second.wait()
        else:
            second.set()
        return data

    await bus.serve(subject, answer)
    async with asyncio.timeout(TIMEOUT_S):
        answers = await asyncio.gather(
            bus.request(subject, b"first", TIMEOUT_S), bus.request(subject, b"second", TIMEOUT_S)
        )

    assert answers == [b"first", b"second"]


async def test_question_that_nobody_answers_is_told_so(bus: Calls, subject: str) -> None:
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.request(subject, b"?", TIMEOUT_S)


async def test_question_that_is_answered_too_late_is_told_so(bus: Calls, subject: str) -> None:
    async def answer(data: bytes) -> bytes:
        await asyncio.sleep(TIMEOUT_S)
        return data

    await bus.serve(subject, answer)

    with pytest.raises(Unavailable, match="did not answer"):
        await bus.request(subject, b"?", 0.05)
