"""How soon what was published is seen: by a subscriber, and by a reader that asks as soon as it may."""

from __future__ import annotations

import asyncio
from time import perf_counter

from flux_bench.generator.channel import HttpChannel, SocketChannel
from flux_bench.generator.http import get, post, status_of
from flux_bench.generator.jobs import Failed, ReadBack, Seen, Told
from flux_bench.latencies import latencies_of
from flux_bench.workload import FIRST, Pieces, with_number

_READS_MAX = 10_000


def _single_property(entity: str) -> Pieces:
    head = '{"stream":"bench","source":"flux-bench","payload":{"entity_id":"%s","properties":{"sequence":'
    return [(head % entity).encode(), b"}}}"]


async def see(job: Seen) -> Told:
    """Publish one event after the other, each when the one before was acknowledged and seen."""
    request = post(job.place.name, "/api/events", _single_property(job.entity))
    publisher, subscriber = HttpChannel(), SocketChannel()
    samples: list[float] = []
    try:
        await publisher.open(job.place)
        await subscriber.open(job.place)
        subscriber.say(type="subscribe", entity_id=job.entity)
        await _is_watched(publisher, subscriber, request, job.first)
        started = perf_counter()
        for number in range(job.first + 1, job.first + 1 + job.samples):
            sent_at = perf_counter()
            publisher.write(with_number(request, number))
            await _message_with(subscriber, number)
            samples.append(perf_counter() - sent_at)
            _must_be_ok(await publisher.take())
            if job.seconds and perf_counter() - started > job.seconds:
                break
            await asyncio.sleep(job.pause_s)
    finally:
        publisher.close()
        subscriber.close()
    return Told([len(samples) + 1], len(samples), sum(samples), latencies_of(samples))


async def _is_watched(
    publisher: HttpChannel, subscriber: SocketChannel, request: Pieces, number: int
) -> None:
    """Return when an update has come: before that the subscription may not be in force."""
    _must_be_ok(await publisher.ask(with_number(request, number)))
    await _message_with(subscriber, number)


async def _message_with(subscriber: SocketChannel, number: int) -> None:
    mark = b"%d" % (FIRST + number)
    while mark not in await subscriber.take():
        continue  # metrics, or another property


async def read_back(job: ReadBack) -> Told:
    """Publish, then read until it shows."""
    path = "/api/events?wait=applied" if job.applied else "/api/events"
    request = post(job.place.name, path, _single_property(job.entity))
    reading = get(job.place.name, f"/api/state/entities/{job.entity}")
    publisher, reader = HttpChannel(), HttpChannel()
    samples: list[float] = []
    stale = 0
    try:
        await publisher.open(job.place)
        await reader.open(job.place)
        for number in range(job.samples):
            _must_be_ok(await publisher.ask(with_number(request, number)))
            acked_at = perf_counter()
            reads = await _reads_until(reader, reading, number)
            samples.append(perf_counter() - acked_at)
            stale += reads - 1
    finally:
        publisher.close()
        reader.close()
    return Told([len(samples)], len(samples), sum(samples), latencies_of(samples), stale=stale)


async def _reads_until(reader: HttpChannel, reading: bytes, number: int) -> int:
    mark = b"%d" % (FIRST + number)
    for reads in range(1, _READS_MAX):
        if mark in await reader.ask(reading):
            return reads
    raise Failed(f"{_READS_MAX} reads did not show an event that was acknowledged before them")


def _must_be_ok(answer: bytes) -> None:
    if status_of(answer) != 200:
        raise Failed(f"a publish was answered {answer[:300].decode(errors='replace')!r}")
