"""The hot way on a connection: order, holding, leaving, closing, and a door that changes under it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.log.memory import MemoryLog
from tests.unit.api.hot.test_same_answers import get, post, text
from tests.unit.api.hot.two_ways import TwoWays, Way
from tests.unit.api.standing import Standing, event, settle, until

PUBLISH = post("/api/events", text(event("n/e", {"v": 2}, eventId="mine")))


class Clock:
    """A loop whose time the test sets; nothing it is asked to call later is called."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, *_: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(3_600 + delay_s, bool)


class HeldLog:
    """Holds appends of the door's log until they are let go."""

    def __init__(self, log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = asyncio.Event()
        self._append = log.append
        monkeypatch.setattr(log, "append", self._held)

    async def _held(self, *arguments: Any) -> int:
        await self.open.wait()
        return await self._append(*arguments)


@pytest.fixture
async def ways(standing: Standing) -> TwoWays:
    await standing.publish(event("n/e", {"v": 1}))
    return TwoWays(standing)


@pytest.fixture
async def known(ways: TwoWays) -> Way:
    """A connection whose usual heads are known."""
    way = ways.hot_way()
    for request in (get("n/e"), PUBLISH, post("/api/events/batch", text([event("n/e", {"v": 3})]))):
        await way.send(request)
    await settle()
    return way


@pytest.fixture
async def held(standing: Standing, known: Way, monkeypatch: pytest.MonkeyPatch) -> HeldLog:
    """Publishes wait from now on."""
    return HeldLog(standing.log, monkeypatch)


def bodies(answers: bytes) -> list[Any]:
    """The JSON bodies of answers, in order."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        size = int(length.split(b":")[1])
        found.append(json.loads(rest[:size]))
        answers = rest[size:]
    return found


async def test_an_entity_that_changed_is_answered_as_it_is_now(ways: TwoWays, known: Way) -> None:
    await ways.standing.publish(event("n/e", {"v": "new"}))
    before = ways.hot.answered_hot
    (body,) = bodies(await known.send(get("n/e")))
    assert body["properties"] == {"v": "new"}
    await ways.standing.publish(event("n/e", {"__deleted__": True}))
    assert bodies(await known.send(get("n/e"))) == [{"error": "Entity not found"}]
    assert ways.hot.answered_hot == before + 1


@pytest.mark.parametrize("path", ["/api/events", "/api/events/batch"])
async def test_a_limit_that_was_lowered_counts_for_heads_that_are_known(
    ways: TwoWays, known: Way, path: str
) -> None:
    body = text(event("n/e", {"text": "x" * 1_100}))
    request = post(path, body if path == "/api/events" else b"[" + body + b"]")
    for _ in range(2):
        assert (await known.send(request)).startswith(b"HTTP/1.1 200")
    name = "body_size_limit_single_bytes" if path == "/api/events" else "body_size_limit_batch_bytes"
    await ways.standing.door.config.change({name: 1_024}, "test", ways.standing.door.audit)
    assert (await known.send(request)).startswith(b"HTTP/1.1 413")
    await ways.standing.door.config.change({name: 4_096}, "test", ways.standing.door.audit)
    assert (await ways.hot_way().send(request)).startswith(b"HTTP/1.1 200")


async def test_what_comes_in_behind_a_publish_is_answered_after_it(
    ways: TwoWays, known: Way, held: HeldLog
) -> None:
    before = len(known.transport.written)
    for chunk in (PUBLISH, get("n/e"), get("n/none"), PUBLISH):
        known.protocol.data_received(chunk)
    await settle()
    assert len(known.transport.written) == before
    held.open.set()
    await until(lambda: len(bodies(known.transport.written[before:])) == 4)
    first, entity, none, last = bodies(known.transport.written[before:])
    assert (first["eventId"], last["eventId"]) == ("mine", "mine")
    assert entity["id"] == "n/e"
    assert "error" in none


async def test_a_log_that_is_away_is_503_with_a_time_to_come_again(
    ways: TwoWays, known: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    ways.standing.log.away = True
    before = ways.hot.answered_hot
    answer = await known.send(PUBLISH)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    batch = await known.send(post("/api/events/batch", text([event("n/e", {"v": 3})])))
    assert bodies(batch)[0]["failed"] == 1
    assert ways.hot.answered_hot == before + 2
    ways.standing.log.away = False
    assert (await known.send(PUBLISH)).startswith(b"HTTP/1.1 200 ")


async def test_a_door_that_closes_takes_no_more(ways: TwoWays, known: Way) -> None:
    await ways.standing.door.publisher.close()
    answer = await known.send(PUBLISH)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"closing" in answer


async def test_one_who_left_is_written_nothing(known: Way, held: HeldLog) -> None:
    known.protocol.data_received(PUBLISH)
    known.protocol.data_received(get("n/e"))
    before = len(known.transport.written)
    known.transport.close()
    known.protocol.connection_lost(None)
    held.open.set()
    await settle()
    assert len(known.transport.written) == before


async def test_one_who_leaves_in_the_middle_of_a_body_publishes_nothing(ways: TwoWays, known: Way) -> None:
    log = ways.standing.log
    bounds = [(await log.bounds(partition)).last for partition in range(3)]
    known.protocol.data_received(PUBLISH[:-5])
    known.protocol.connection_lost(ConnectionResetError())
    await settle()
    assert [(await log.bounds(partition)).last for partition in range(3)] == bounds


async def test_a_server_that_closes_lets_the_answer_under_way_go_first(known: Way, held: HeldLog) -> None:
    before = len(known.transport.written)
    known.protocol.data_received(PUBLISH)
    known.protocol.shutdown()
    assert not known.transport.is_closing()
    held.open.set()
    await until(known.transport.is_closing)
    answer = known.transport.written[before:]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("chunk", [b"", PUBLISH[:-5], PUBLISH[:20]])
async def test_a_server_that_closes_waits_for_no_request_that_is_not_whole(known: Way, chunk: bytes) -> None:
    if chunk:
        known.protocol.data_received(chunk)
    known.protocol.shutdown()
    assert known.transport.is_closing()


async def test_one_who_does_not_read_is_not_read_from_until_he_does(known: Way) -> None:
    paused: list[bool] = []
    known.transport.pause_reading = lambda: paused.append(True)
    known.transport.resume_reading = lambda: paused.append(False)
    before = len(known.transport.written)
    known.protocol.pause_writing()
    assert paused == [True]
    known.protocol.data_received(get("n/e"))
    await settle()
    assert len(known.transport.written) == before
    known.protocol.resume_writing()
    await settle()
    assert paused == [True, False]
    assert [body["id"] for body in bodies(known.transport.written[before:])] == ["n/e"]


async def test_what_is_held_behind_a_publish_is_bounded(known: Way, held: HeldLog) -> None:
    paused: list[bool] = []
    known.transport.pause_reading = lambda: paused.append(True)
    known.transport.resume_reading = lambda: paused.append(False)
    before = len(known.transport.written)
    known.protocol.data_received(PUBLISH)
    rest = get("n/e") * (limits.hot_held_bytes_max // len(get("n/e")) + 2)
    known.protocol.data_received(rest)
    assert paused == [True]
    held.open.set()
    wanted = 1 + rest.count(b"GET ")
    await until(lambda: known.transport.written[before:].count(b"HTTP/1.1 200") == wanted)
    assert paused[1] is False


@pytest.mark.parametrize("request_bytes", [get("n/e"), PUBLISH, post("/api/events", b"{}")])
async def test_a_connection_in_use_stays_and_an_idle_one_ends(
    known: Way, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.protocol.timeout_keep_alive = 75
    await known.send(request_bytes)
    now = known.protocol.loop.time()
    monkeypatch.setattr(known.protocol, "loop", Clock(now + 74))
    await known.send(request_bytes)
    for passed, ends in ((74 + 74, False), (74 + 76, True)):
        known.protocol.loop.now = now + passed
        known.protocol.timeout_keep_alive_handler()
        assert known.transport.is_closing() == ends


async def test_one_who_reads_nothing_of_his_answer_is_cut_off(known: Way) -> None:
    known.protocol.pause_writing()
    known.protocol.timeout_keep_alive = -1.0
    known.protocol.timeout_keep_alive_handler()
    assert known.transport.aborted


async def test_a_body_that_does_not_go_on_is_idle(known: Way) -> None:
    known.protocol.data_received(PUBLISH[:-5])
    known.protocol.timeout_keep_alive_handler()
    assert not known.transport.is_closing()
    known.protocol.timeout_keep_alive = -1.0
    known.protocol.timeout_keep_alive_handler()
    assert known.transport.is_closing()


async def test_a_body_that_trickles_in_on_the_hot_way_is_408(ways: TwoWays, known: Way) -> None:
    before, log = len(known.transport.written), ways.standing.log
    bounds = [(await log.bounds(partition)).last for partition in range(3)]
    known.protocol.data_received(PUBLISH[:-5])
    now = known.protocol.loop.time()
    known.protocol.look(now + limits.request_grace_s - 1)
    known.protocol.data_received(PUBLISH[-5:-4])
    assert len(known.transport.written) == before
    known.protocol.look(now + limits.request_grace_s + 1)
    assert known.transport.written[before:].startswith(b"HTTP/1.1 408 ")
    known.protocol.data_received(PUBLISH[-4:])
    await settle()
    assert known.transport.written[before:].count(b"HTTP/1.1") == 1
    assert [(await log.bounds(partition)).last for partition in range(3)] == bounds


async def test_a_body_that_comes_in_on_the_hot_way_is_given_up_when_the_door_is_full(known: Way) -> None:
    before = len(known.transport.written)
    known.protocol.data_received(PUBLISH[:-5])
    assert known.protocol.coming_bytes == len(PUBLISH) - 5
    known.protocol.give_up()
    assert known.transport.written[before:].startswith(b"HTTP/1.1 503 ")
    assert known.protocol.coming_bytes == 0


async def test_a_publish_that_waits_for_the_log_may_wait(known: Way, held: HeldLog) -> None:
    known.protocol.data_received(PUBLISH)
    known.protocol.look(known.protocol.loop.time() + 1_000)
    assert not known.transport.is_closing()
    held.open.set()
    await until(lambda: b'"mine"' in known.transport.written[-200:])


async def test_a_connection_that_was_reset_leaves_no_timer(ways: TwoWays) -> None:
    way = ways.hot_way()
    way.protocol.connection_lost(ConnectionResetError())
    assert way.protocol.timeout_keep_alive_task is None


async def test_an_answer_bears_the_date_of_its_second(ways: TwoWays, known: Way) -> None:
    for date in (b"Tue, 24 Nov 2026 10:00:01 GMT", b"Tue, 24 Nov 2026 10:00:02 GMT"):
        ways.tick(date)
        for request in (get("n/e"), PUBLISH, post("/api/events", b"{}")):
            answer = await known.send(request)
            assert answer.count(b"date: ") == 1
            assert b"\r\ndate: %s\r\n" % date in answer


@pytest.mark.parametrize("broken", ["read_event", "event_answer"])
async def test_a_fault_that_nobody_foresaw_is_an_answer(
    known: Way, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as breaking:
        breaking.setattr(f"flux_api.hot.routes.{broken}", None)
        before = len(known.transport.written)
        known.protocol.data_received(PUBLISH)
        known.protocol.data_received(PUBLISH)
        await until(lambda: known.transport.written[before:].count(b"HTTP/1.1 503 ") == 2)
    await settle()
    assert (await known.send(PUBLISH)).startswith(b"HTTP/1.1 200 ")


async def test_what_was_held_counts_no_longer_once_it_is_released(
    known: Way, held: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "hot_held_bytes_max", 2 * len(get("n/e")))
    paused: list[bool] = []
    known.transport.pause_reading = lambda: paused.append(True)
    held.open.set()
    for _ in range(5):
        known.protocol.data_received(PUBLISH)
        known.protocol.data_received(get("n/e"))
        await until(lambda: known.transport.written.endswith(b'+00:00"}'))
        await settle()
    assert paused == []


async def test_held_requests_wait_for_one_who_does_not_read(known: Way, held: HeldLog) -> None:
    known.protocol.data_received(PUBLISH)
    known.protocol.data_received(get("n/e"))
    known.protocol.pause_writing()
    held.open.set()
    await until(lambda: b'"mine"' in known.transport.written[-200:])
    await settle()
    before = len(known.transport.written)
    assert not known.transport.written.endswith(b'+00:00"}')
    known.protocol.resume_writing()
    await settle()
    assert [body["id"] for body in bodies(known.transport.written[before:])] == ["n/e"]


async def test_a_publish_that_waits_is_not_idle(known: Way, held: HeldLog) -> None:
    known.protocol.data_received(PUBLISH)
    known.protocol.timeout_keep_alive = 0.0
    known.protocol.timeout_keep_alive_handler()
    assert not known.transport.is_closing()
    held.open.set()
    await settle()


async def test_a_connection_that_never_asks_ends(ways: TwoWays) -> None:
    way = ways.hot_way()
    assert way.protocol.timeout_keep_alive_task is not None
    way.protocol.timeout_keep_alive = 0.0
    way.protocol.timeout_keep_alive_handler()
    assert way.transport.is_closing()


async def test_a_head_that_is_refused_is_not_known_afterwards(ways: TwoWays) -> None:
    await ways.hot_way().send(get("n/e"))  # so that the door has the entity at hand
    twice = get("n/e").replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n")
    for _ in range(3):
        way = ways.hot_way()
        assert (await way.send(twice)).startswith(b"HTTP/1.1 400 ")
        assert way.transport.ended


async def test_a_hot_request_after_a_refused_one_is_not_answered(known: Way) -> None:
    await known.send(b"nonsense\r\n\r\n")
    before = len(known.transport.written)
    known.protocol.data_received(get("n/e"))
    await settle()
    assert len(known.transport.written) == before
