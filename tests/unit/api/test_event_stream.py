"""An event stream: what its reader gets, where it says the reader is, and one that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_api.event_stream import EventStream
from flux_api.frames import framed, message
from flux_api.watching.outlet import Piece
from tests.unit.api.standing import DEADLINE_S, settle

RETRY = "retry: 1000\n\n"


class FakeReading:
    def __init__(self, places: Mapping[int, int] | None) -> None:
        self.known = places
        self.heard: list[str] = []

    def press(self) -> None:
        self.heard.append("press")

    def relieve(self) -> None:
        self.heard.append("relieve")

    def places(self) -> Mapping[int, int] | None:
        return self.known


class Reader:
    """Takes parts of a stream one by one, as the network does."""

    def __init__(self, stream: EventStream) -> None:
        self.parts = stream.parts()

    async def take(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            return (await anext(self.parts)).decode()


def update(n, partition=-1, position=-1):
    texts = (message(type="state_update", entity_id="a/1", property=p, value=n) for p in "xy")
    return Piece(b"".join(framed(text.encode()) for text in texts), partition, position)


def told(n, place=None):
    """Return the events of an update, the second of them with the place."""
    begin = 'event: state_update\ndata: {"type":"state_update","entity_id":"a/1","property":'
    first, second = (f'{begin}"{name}","value":{n}}}\n\n' for name in "xy")
    return first + ("" if place is None else f"id: {place}\n") + second


async def test_it_begins_with_the_place_of_the_reader_and_each_event_has_its_own():
    stream = EventStream(FakeReading({2: pack(5, 0), 0: pack(7, 4095)}))
    reader = Reader(stream)
    assert await reader.take() == RETRY
    assert await reader.take() == "id: 0.7.4095~2.5.0\n\n"
    stream.send((update(1, 2, pack(6, 0)), update(2, 2, pack(6, 1)), update(3, 0, pack(9, 0))), batch=True)
    assert await reader.take() == told(1, "0.7.4095~2.6.0") + told(2, "0.7.4095~2.6.1") + told(
        3, "0.9.0~2.6.1"
    )


async def test_a_place_goes_never_back():
    stream = EventStream(FakeReading(None), {0: pack(7, 0)})
    reader = Reader(stream)
    await reader.take()
    stream.send((update(1, 0, pack(6, 0)),), batch=False)
    assert await reader.take() == told(1, "0.7.0")


async def test_what_comes_as_the_silence_ends_is_told_before_the_place_that_has_it(monkeypatch):
    reading = FakeReading({0: pack(7, 0)})
    stream = EventStream(reading)
    reader = Reader(stream)
    await reader.take()
    assert await reader.take() == "id: 0.7.0\n\n"

    async def wait(_):
        reading.known = {0: pack(8, 0)}
        stream.send((update(1, 0, pack(8, 0)),), batch=False)
        raise TimeoutError

    monkeypatch.setattr(asyncio.Event, "wait", wait)
    assert await reader.take() == told(1, "0.8.0")


async def test_nothing_has_a_place_before_the_reader_has_what_it_begins_with(monkeypatch):
    monkeypatch.setattr(limits, "stream_look_s", 0.001)
    reading = FakeReading(None)
    stream = EventStream(reading)
    reader = Reader(stream)
    await reader.take()
    stream.send((update(1), update(2, 0, pack(3, 0))), batch=False)
    assert await reader.take() == told(1) + told(2)
    assert await reader.take() == ": nothing new\n\n"
    reading.known = {0: pack(4, 0)}
    assert await reader.take() == "id: 0.4.0\n\n"
    stream.send((update(3, 0, pack(5, 0)),), batch=False)
    assert await reader.take() == told(3, "0.5.0")


async def test_one_that_comes_back_has_the_place_that_it_came_with():
    stream = EventStream(FakeReading(None), {0: pack(4, 0), 1: pack(2, 0)})
    reader = Reader(stream)
    await reader.take()
    stream.send((update(1, 0, pack(5, 0)),), batch=False)
    assert await reader.take() == told(1, "0.5.0~1.2.0")


async def test_silence_is_broken_with_the_newest_place(monkeypatch):
    monkeypatch.setattr(limits, "stream_silence_s", 0.001)
    reading = FakeReading({0: pack(4, 0)})
    reader = Reader(EventStream(reading))
    await reader.take()
    assert await reader.take() == "id: 0.4.0\n\n"
    reading.known = {0: pack(6, 4095)}
    assert await reader.take() == "id: 0.6.4095\n\n"
    reading.known = None
    assert await reader.take() == "id: 0.6.4095\n\n"


@pytest.mark.parametrize("wanted", [False, True])
async def test_figures_are_told_to_those_who_want_them(wanted):
    stream = EventStream(FakeReading({0: 1}), metrics=wanted)
    reader = Reader(stream)
    await reader.take()
    await reader.take()
    stream.write(framed(message(type="metrics_update", entities={"total": 1}, padding="x" * 200).encode()))
    stream.write(framed(message(type="conflated", entities=3).encode()))
    found = await reader.take()
    assert found.endswith('event: conflated\ndata: {"type":"conflated","entities":3}\n\n')
    assert ("event: metrics_update\n" in found) is wanted


async def test_one_that_is_not_read_says_so_and_says_when_it_is_read_again(monkeypatch):
    monkeypatch.setattr(limits, "socket_pressed_bytes", 100)
    reading = FakeReading({0: 1})
    stream = EventStream(reading)
    reader = Reader(stream)
    await reader.take()
    await reader.take()
    stream.send((update(1),), batch=False)
    assert (reading.heard, stream.waiting_bytes()) == (["press"], len(update(1).frames))
    stream.send((update(2),), batch=False)
    assert reading.heard == ["press"]
    assert await reader.take() == told(1) + told(2)
    assert (reading.heard, stream.waiting_bytes()) == (["press"], 2 * len(update(1).frames))
    taking = asyncio.create_task(reader.take())
    await settle()
    assert (reading.heard, stream.waiting_bytes()) == (["press", "relieve"], 0)
    stream.end()
    with pytest.raises(StopAsyncIteration):
        await taking


async def test_much_goes_out_in_parts(monkeypatch):
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 200)
    stream = EventStream(FakeReading({0: 1}))
    reader = Reader(stream)
    await reader.take()
    stream.send([update(n) for n in range(9)], batch=False)
    parts = [await reader.take() for _ in range(5)]
    assert parts == [told(n) + told(n + 1) for n in range(0, 8, 2)] + [told(8)]


async def test_its_end_ends_it_at_once_and_nothing_is_taken_any_more():
    stream = EventStream(FakeReading({0: 1}))
    reader = Reader(stream)
    await reader.take()
    await reader.take()
    taking = asyncio.create_task(reader.take())
    await settle()
    stream.end()
    with pytest.raises(StopAsyncIteration):
        await taking
    stream.write(update(1).frames)
    assert stream.waiting_bytes() == 0
