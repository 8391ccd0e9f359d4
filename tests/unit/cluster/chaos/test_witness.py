"""What the witnesses of a broken log, and of clocks that differ, object to; Flux is a server of answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from flux_actors.errors import Unavailable
from flux_cluster.chaos import clock_witness, witness
from flux_cluster.chaos.clock_witness import see_one_clock
from flux_cluster.chaos.witness import fill, make_warm, see_refusals


class Flux:
    """Doors that answer as they are told; `publish` and `read` return status, headers and body."""

    def __init__(self) -> None:
        self.publish = lambda body: (503, {"Retry-After": "1"}, {})
        self.read = lambda entity_id, at: (200, {}, {})
        self.world = SimpleNamespace(url="")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readline()).decode().split()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if method == "POST":
            size = int(re.findall(r"content-length: (\d+)", head)[0])
            answer = self.publish(json.loads(await reader.readexactly(size)))
        else:
            url = urlsplit(target)
            at = parse_qs(url.query).get("at", [None])[0]
            answer = self.read(url.path.removeprefix("/api/state/entities/"), at)
        if answer is not None:
            status, headers, body = answer
            data = json.dumps(body)
            told = {**headers, "Content-Length": str(len(data))}
            lines = [f"HTTP/1.1 {status} Told", *(f"{name}: {value}" for name, value in told.items())]
            writer.write("\r\n".join([*lines, "", data]).encode())
            await writer.drain()
        await reader.read()
        writer.close()


@pytest.fixture
async def flux() -> AsyncIterator[Flux]:
    flux = Flux()
    server = await asyncio.start_server(flux.serve, "127.0.0.1", 0)
    flux.world.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield flux
    server.close()


async def test_refusals_in_time_and_reads_are_what_must_be_seen(flux):
    await see_refusals(flux.world, 15.0)


@pytest.mark.parametrize(
    "answer",
    [(200, {}, {}), (503, {}, {}), (503, {"Retry-After": "soon"}, {}), (500, {"Retry-After": "1"}, {})],
    ids=["taken", "no time", "no number", "a fault"],
)
async def test_any_other_answer_to_a_publish_is_objected_to(flux, answer):
    flux.publish = lambda body: answer
    with pytest.raises(Unavailable, match="without a log a publish was answered"):
        await see_refusals(flux.world, 15.0)


async def test_a_publish_without_an_answer_is_objected_to(flux):
    flux.publish = lambda body: None
    with pytest.raises(Unavailable, match=r"gave no answer: [A-Z][a-z]+Timeout"):
        await see_refusals(flux.world, 0.3)


async def test_a_read_that_fails_is_objected_to(flux):
    flux.read = lambda entity_id, at: (503, {}, {})
    with pytest.raises(Unavailable, match="an entity that doors know was answered 503"):
        await see_refusals(flux.world, 15.0)


async def test_who_takes_no_event_before_it_is_broken_cannot_be_seen(flux, monkeypatch):
    monkeypatch.setattr(witness, "_WARM_S", 0.5)
    monkeypatch.setattr(witness, "_AGAIN_S", 0.05)
    with pytest.raises(Unavailable, match="took no event before its log was broken"):
        await make_warm(flux.world)
    answers = [(200, {}, {}), (503, {}, {}), (503, {}, {})]
    flux.publish = lambda body: answers.pop()
    await make_warm(flux.world)
    assert answers == []


async def test_a_log_is_filled_until_it_takes_no_more(flux, monkeypatch):
    answers = [(503, {}, {}), (200, {}, {}), (200, {}, {})]
    flux.publish = lambda body: answers.pop()
    assert await fill(flux.world) == 2
    monkeypatch.setattr(witness, "_FILL_MAX", 3)
    flux.publish = lambda body: (200, {}, {})
    with pytest.raises(Unavailable, match="was not full"):
        await fill(flux.world)


class Clocked:
    """An entity as Flux has it, by a clock that each event puts forward by as much as `steps` say."""

    def __init__(self, flux: Flux, steps: list[float], lease_s: float) -> None:
        self.events: list[tuple[str, int]] = []
        self.taken: dict[str, datetime] = {}
        self.steps, self.lease_s = steps, lease_s
        self.clock = datetime.now(UTC)
        self.lie: dict[str, int] = {}
        flux.publish, flux.read = self.publish, self.read

    def publish(self, body):
        payload = body["payload"]
        if "ttl_ms" in payload:
            self.taken[payload["entity_id"]] = datetime.now(UTC)
            return 200, {}, {}
        self.clock += timedelta(seconds=self.steps.pop(0) if self.steps else 0.001)
        self.events.append((self.clock.isoformat(), payload["properties"]["n"]))
        return 200, {}, {"entity": {"lastUpdated": self.clock.isoformat()}}

    def read(self, entity_id, at):
        if entity_id in self.taken:
            lives = datetime.now(UTC) - self.taken[entity_id] < timedelta(seconds=self.lease_s)
            return (200 if lives else 404), {}, {}
        (*_, last) = [number for updated, number in self.events if updated <= at]
        return 200, {}, {"properties": {"n": self.lie.get(at, last)}}


@pytest.fixture
def short(monkeypatch):
    """Leases of a second and a half."""
    monkeypatch.setattr(clock_witness, "_TTL_S", 1.5)
    monkeypatch.setattr(clock_witness, "_EARLY_S", 0.5)
    monkeypatch.setattr(clock_witness, "_LATE_S", 0.5)


@pytest.mark.usefixtures("short")
async def test_one_clock_that_goes_on_is_what_must_be_seen(flux):
    Clocked(flux, [0.1, 130.0], 1.5)
    await see_one_clock(flux.world, 100.0, early=False)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("steps", "lease_s", "objection"),
    [
        ([130.0, 0.1, -1.0], 1.5, "went back"),
        ([], 1.5, "the clocks do not differ"),
        ([130.0], 0.0, "a lease of 1.5 s ended after"),
        ([130.0], 9.0, "has not ended after 2 s"),
    ],
    ids=["back", "alike", "early", "late"],
)
async def test_anything_else_is_objected_to(flux, steps, lease_s, objection):
    Clocked(flux, steps, lease_s)
    with pytest.raises(Unavailable, match=objection):
        await see_one_clock(flux.world, 100.0, early=False)


@pytest.mark.usefixtures("short")
async def test_a_past_that_is_another_one_is_objected_to(flux):
    clocked = Clocked(flux, [130.0], 1.5)
    clocked.lie = {(clocked.clock + timedelta(seconds=130)).isoformat(): 7}
    with pytest.raises(Unavailable, match="not that of event 0"):
        await see_one_clock(flux.world, 100.0, early=False)
