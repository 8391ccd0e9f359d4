"""Fan-out: many sockets watch while a few connections publish, and every message must arrive.

Nineteen of twenty sockets only count: they are read into one buffer each, and how often the workload's
namespace stands in it is how many messages came. One keeps what it was sent, to be folded afterwards.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final, cast

import msgspec

from flux_bench.generator.channel import HttpChannel
from flux_bench.generator.frames import Counter, FrameReader, frame, handshake
from flux_bench.generator.http import post
from flux_bench.generator.jobs import Failed, FanOut, Place, Told
from flux_bench.generator.load import Check, all_landed, holds
from flux_bench.workload import PROPERTIES, Pieces, event_pieces, with_number

_BUFFER_BYTES: Final = 256 * 1024
_PROBE_S: Final = 20.0
_POLL_S: Final = 0.002
_OPEN_S: Final = 10.0
_SWITCHES: Final = b"HTTP/1.1 101"
_CONFLATED: Final = b'"conflated"'


class Watching(asyncio.BufferedProtocol):
    """One socket that counts its messages.

    All sockets read into one buffer: a read is counted before the next one begins.
    """

    def __init__(self, mark: bytes, probe: bytes, buffer: bytearray, *, keep: bool) -> None:
        self.messages = Counter(mark)
        self.probes = Counter(probe)
        self.conflated = Counter(_CONFLATED)
        self.last_at = 0.0
        self.lost = False
        self.kept: list[bytes] | None = [] if keep else None
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.measuring = False
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._transport: asyncio.Transport | None = None

    async def open(self, place: Place, pattern: str) -> None:
        """Connect and subscribe."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(cast("Any", lambda: self), place.host, place.port)
        except OSError as error:
            raise Failed(f"cannot connect to {place.name}: {error.strerror}") from None
        transport = cast("asyncio.Transport", self._transport)
        transport.write(handshake(place.name))
        answer = await asyncio.wait_for(self._answered, _OPEN_S)
        if not answer.startswith(_SWITCHES):
            raise Failed(f"a WebSocket was answered with {answer[:100].decode(errors='replace')!r}")
        transport.write(frame(msgspec.json.encode({"type": "subscribe", "entity_id": pattern})))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if not self._answered.done():
            self._answered.set_result(bytes(self._view[:nbytes]))
        self.messages.take(self._buffer, nbytes)
        if self.measuring:
            self.last_at = perf_counter()
            self.conflated.take(self._buffer, nbytes)
        else:
            self.probes.take(self._buffer, nbytes)
        if self.kept is not None:
            self.kept.append(bytes(self._view[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self._answered.done():
            self._answered.set_result(b"nothing")

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


async def fan_out(job: FanOut) -> Told:
    """Watch and publish; return how many messages each socket got."""
    mark = f"{job.workload.namespace}/".encode()
    buffer = bytearray(_BUFFER_BYTES)
    sockets = [Watching(mark, job.probe.encode(), buffer, keep=not number) for number in range(job.sockets)]
    publishers = [HttpChannel() for _ in range(job.workload.connections)]
    try:
        for socket in sockets:
            await socket.open(job.place, job.pattern)
        for publisher in publishers:
            await publisher.open(job.place)
        probes = await _all_watch(job, sockets, publishers[0])
        told = await _measure(job, sockets, publishers)
        return msgspec.structs.replace(told, probes=probes)
    finally:
        for socket in sockets:
            socket.close()
        for publisher in publishers:
            publisher.close()


async def _all_watch(job: FanOut, sockets: list[Watching], publisher: HttpChannel) -> int:
    """Publish the probe until every socket has seen it; return how often that was."""
    request = post(job.place.name, "/api/events", event_pieces(job.probe))
    deadline = perf_counter() + _PROBE_S
    number = 0
    while not all(socket.probes.count for socket in sockets):
        if perf_counter() > deadline or any(socket.lost for socket in sockets):
            missing = sum(not socket.probes.count for socket in sockets)
            raise Failed(f"{missing} of {len(sockets)} sockets did not see a first update")
        await publisher.ask(with_number(request, number))
        number += 1
        await asyncio.sleep(0.05)
    for socket in sockets:
        socket.measuring = True
    return number


async def _measure(job: FanOut, sockets: list[Watching], publishers: list[HttpChannel]) -> Told:
    published = Published(job, sockets)
    started = perf_counter()
    publishing = [
        published.go_on(publisher, number, started + job.pace.seconds)
        for number, publisher in enumerate(publishers)
    ]
    await asyncio.gather(*publishing)
    await _drain(published, sockets, job.drain_s)
    counts = [socket.messages.count for socket in sockets]
    seconds = max(socket.last_at for socket in sockets) - started
    conflated = sum(socket.conflated.count for socket in sockets)
    return Told(
        counts=counts,
        done=sum(counts),
        seconds=seconds,
        refusal=f"{conflated} sockets were conflated" if conflated else published.refusal,
        bodies=[b"".join(_texts(sockets[0]))],
        published=published.counts,
    )


class Published:
    """What the publishers have done, and how far the slowest socket is behind it."""

    def __init__(self, job: FanOut, sockets: list[Watching]) -> None:
        workload = job.workload
        self.counts = [0] * workload.connections
        self.refusal = ""
        self._job = job
        self._sockets = sockets
        self._path = "/api/events" if workload.events == 1 else "/api/events/batch"
        self._check: Check = holds(b'"eventId"') if workload.events == 1 else all_landed(workload.events)
        self._per_request = workload.events * PROPERTIES
        self._under_way = 0

    @property
    def messages(self) -> int:
        """How many messages each socket must get."""
        return sum(self.counts) * self._per_request

    async def go_on(self, publisher: HttpChannel, connection: int, until: float) -> None:
        """Publish one request after the other until the time is over."""
        requests_max = self._job.pace.requests or 1 << 60
        turns: list[Pieces] = [
            post(self._job.place.name, self._path, body) for body in self._job.workload.bodies(connection)
        ]
        while self.counts[connection] < requests_max and (self._job.pace.requests or perf_counter() < until):
            await self._room()
            self._under_way += self._per_request
            number = self.counts[connection]
            answer = await publisher.ask(
                with_number(turns[number % len(turns)], self._job.workload.first + number)
            )
            self._under_way -= self._per_request
            if not answer.startswith(b"HTTP/1.1 200") or not self._check(answer):
                self.refusal = f"a publish was answered {answer[:300].decode(errors='replace')!r}"
                return
            self.counts[connection] += 1

    async def _room(self) -> None:
        """Return when the slowest socket is near enough, or is lost."""
        while self.messages + self._under_way - self._slowest() > self._job.ahead:
            if any(socket.lost for socket in self._sockets):
                raise Failed("the server closed a watching socket")
            await asyncio.sleep(_POLL_S)

    def _slowest(self) -> int:
        return min(socket.messages.count for socket in self._sockets)


async def _drain(published: Published, sockets: list[Watching], limit_s: float) -> None:
    """Wait until every socket has everything, for a bounded time."""
    deadline = perf_counter() + limit_s
    while any(socket.messages.count < published.messages for socket in sockets):
        if perf_counter() > deadline:
            return  # the counts tell what is missing
        await asyncio.sleep(_POLL_S)


def _texts(socket: Watching) -> list[bytes]:
    """Return the messages of a socket as lines."""
    stream = b"".join(socket.kept or []).partition(b"\r\n\r\n")[2]
    return [text + b"\n" for text in FrameReader().messages(stream)]
