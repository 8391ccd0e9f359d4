"""Publishing over one WebSocket, with a bounded number of events that are not acknowledged yet."""

from __future__ import annotations

import asyncio
from array import array
from time import perf_counter
from typing import Final

import msgspec

from flux_bench.generator.channel import SocketChannel
from flux_bench.generator.frames import frame_head
from flux_bench.generator.jobs import Failed, PublishOnSocket, Told
from flux_bench.latencies import latencies_of
from flux_bench.workload import FIRST, Pieces, size_of

_SILENCE_S: Final = 10.0


class _Answer(msgspec.Struct):
    type: str = ""
    id: str | int | None = None
    error: str = ""


_decode = msgspec.json.Decoder(_Answer).decode


class _Publisher(SocketChannel):
    """Sends as many events as were acknowledged, until the time is over."""

    def __init__(self, job: PublishOnSocket) -> None:
        super().__init__()
        self.acked = 0
        self.done = 0
        self.latencies = array("d")
        self.refusal = ""
        self.ended = asyncio.Event()
        self._turns = [_message(body) for body in job.workload.bodies(0)]
        self._first = FIRST + job.workload.first
        self._pace = job.pace
        self._requests_max = job.pace.requests or 1 << 60
        self._sent = 0
        self._sent_at: dict[str, float] = {}
        self._publishing = False
        self._measure_from = self._deadline = 0.0

    def begin(self, window: int) -> None:
        """Fill the window; from here on acknowledgements drive."""
        now = perf_counter()
        self._publishing = True
        self._measure_from = now + self._pace.warm_up_s
        self._deadline = self._measure_from + self._pace.seconds if self._pace.seconds else float("inf")
        self._send(window, now)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._publishing:
            self._take_all(perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.ended.is_set():
            self._refuse("the server closed the socket")

    def _take_all(self, now: float) -> None:
        before = self.acked
        while self.got:
            answer = _decode(self.got.popleft())
            if answer.type == "ack":
                self._take_ack(str(answer.id), now)
            elif answer.type == "error":
                self._refuse(f"the server answered {answer.error!r}")
        if now < self._deadline:
            self._send(min(self.acked - before, self._requests_max - self._sent), now)
        if not self._sent_at:
            self.ended.set()

    def _take_ack(self, number: str, now: float) -> None:
        sent_at = self._sent_at.pop(number, None)
        if sent_at is None:
            self._refuse(f"an event that was not published, or twice, was acknowledged: {number}")
            return
        self.acked += 1
        if self._measure_from <= now < self._deadline:
            self.done += 1
            self.latencies.append(now - sent_at)

    def _send(self, count: int, now: float) -> None:
        turns = self._turns
        frames = []
        for number in range(self._sent, self._sent + count):
            text = b"%d" % (self._first + number)
            self._sent_at[text.decode()] = now
            frames.append(text.join(turns[number % len(turns)]))
        self._sent += count
        if frames:
            self.write(b"".join(frames))

    def _refuse(self, why: str) -> None:
        self.refusal = self.refusal or why
        self.ended.set()


def _message(body: Pieces) -> Pieces:
    """Return an event's frame around its number, which is the message's id as well."""
    pieces = [b'{"type":"publish","id":"', b'",' + body[0].removeprefix(b"{"), *body[1:]]
    return [frame_head(size_of(pieces)) + pieces[0], *pieces[1:]]


async def publish_on_socket(job: PublishOnSocket) -> Told:
    """Publish over one socket; it watches nothing, so that only acknowledgements come."""
    publisher = _Publisher(job)
    await publisher.open(job.place)
    pace = job.pace
    started = perf_counter()
    try:
        nobody = f"{job.workload.namespace}/nobody"
        publisher.say(type="subscribe", entity_id=nobody)
        publisher.say(type="unsubscribe", entity_id=nobody)
        publisher.begin(min(job.window, pace.requests or job.window))
        await asyncio.wait_for(publisher.ended.wait(), pace.seconds + pace.warm_up_s + _SILENCE_S)
    except TimeoutError:
        raise Failed(
            f"acknowledgements did not come within {_SILENCE_S:.0f} s; has the server "
            "publishing over WebSocket?"
        ) from None
    finally:
        publisher.close()
    return Told(
        [publisher.acked],
        publisher.done,
        pace.seconds or perf_counter() - started,
        latencies_of(publisher.latencies),
        publisher.refusal,
    )
