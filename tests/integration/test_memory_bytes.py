"""`flux up --memory-bytes`: ten times more entities than fit, all of them right, under load and restarted."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from flux_actors import limits
from tests.conftest import RunningFlux, clean_environment

pytestmark = pytest.mark.real

BUDGET_BYTES = 6_000_000
ENTITIES = 30_000
TEXT_CHARS = 2_000
LOAD_S = 2.0
HISTORIES = 20
# What else a shard's memory grows by: the ring of its feed's messages, and what the first lists leave.
BESIDE_BYTES = limits.feed_ring_bytes_max + 32 * limits.MIB

assert ENTITIES * TEXT_CHARS >= 10 * BUDGET_BYTES > 0
assert ENTITIES * TEXT_CHARS + limits.feed_ring_bytes_max > 1.3 * (BUDGET_BYTES + BESIDE_BYTES)


class Oracle:
    """What entities must be: a number counts an entity's events, and its text follows from it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = [0] * ENTITIES
        self._acked = [0] * ENTITIES
        self._position = ""

    def publish(self, client: httpx.Client, indexes: list[int]) -> None:
        """Publish the next event of each of these entities, which no other thread writes."""
        for index in indexes:
            self._sent[index] += 1
        events = [_event(index, self._sent[index]) for index in indexes]
        answer = client.post("/api/events/batch", json={"events": events}).raise_for_status()
        assert answer.json()["failed"] == 0
        with self._lock:
            for index in indexes:
                self._acked[index] += 1
            self._position = answer.headers["Flux-Position"]

    def check(self, indexes: list[int], read: Callable[[dict[str, str]], list[dict[str, Any]]]) -> None:
        """Have `read` read these entities, with all that is acknowledged now, and look at every one."""
        with self._lock:
            lowest = {id_of(index): self._acked[index] for index in indexes}
            position = {"Flux-Position": self._position}
        entities = {entity["id"]: entity["properties"] for entity in read(position)}
        assert entities.keys() == lowest.keys()
        for entity_id, properties in entities.items():
            index = index_of(entity_id)
            assert lowest[entity_id] <= properties["n"] <= self._sent[index]
            assert properties["text"] == text_of(index, properties["n"])

    def events_of(self, index: int) -> int:
        return self._acked[index]


def id_of(index: int) -> str:
    return f"home/{index:05}"


def index_of(entity_id: str) -> int:
    return int(entity_id.removeprefix("home/"))


def text_of(index: int, number: int) -> str:
    return random.Random(index * 1_000 + number).randbytes(TEXT_CHARS // 2).hex()


def _event(index: int, number: int) -> dict[str, Any]:
    properties = {"n": number, "text": text_of(index, number)}
    payload = {"entity_id": id_of(index), "properties": properties}
    return {"stream": "s", "source": "test", "payload": payload}


def write_until(oracle: Oracle, url: str, end_at: float, seed: int) -> int:
    """Update entities of one's own half, most of them cold, in batches; return how many."""
    chance = random.Random(seed)
    written = 0
    with httpx.Client(base_url=url, timeout=20) as client:
        while time.monotonic() < end_at:
            indexes = {2 * chance.randrange(ENTITIES // 2) + seed for _ in range(50)}
            oracle.publish(client, sorted(indexes))
            written += len(indexes)
    return written


def read_until(oracle: Oracle, url: str, end_at: float) -> int:
    """Read entities that others are writing, many at a time and one by one; return how many."""
    chance = random.Random(4)
    read = 0
    with httpx.Client(base_url=url, timeout=20) as client:
        while time.monotonic() < end_at:
            indexes = chance.sample(range(ENTITIES), 40)
            ids = [id_of(index) for index in indexes]
            oracle.check(indexes, lambda position, ids=ids: many(client, ids, position))  # type: ignore[misc]
            oracle.check(indexes[:1], lambda position, one=ids[0]: [single(client, one, position)])  # type: ignore[misc]
            read += 41
    return read


def many(client: httpx.Client, ids: list[str], position: dict[str, str]) -> list[dict[str, Any]]:
    answer = client.post("/api/state/entities/get", json={"ids": ids}, headers=position).raise_for_status()
    assert answer.json()["missing"] == []
    entities: list[dict[str, Any]] = answer.json()["entities"]
    return entities


def single(client: httpx.Client, entity_id: str, position: dict[str, str]) -> dict[str, Any]:
    answer = client.get(f"/api/state/entities/{entity_id}", headers=position).raise_for_status()
    entity: dict[str, Any] = answer.json()
    return entity


def listed(client: httpx.Client, position: dict[str, str]) -> list[dict[str, Any]]:
    answer = client.get("/api/state/entities?namespace=home", headers=position).raise_for_status()
    entities: list[dict[str, Any]] = answer.json()
    assert [entity["id"] for entity in entities] == [id_of(index) for index in range(ENTITIES)]
    return entities


def counts_of(client: httpx.Client) -> tuple[int, int]:
    (partition,) = client.get("/api/status").raise_for_status().json()["partitions"]
    return partition["hot"], partition["cold"]


def status_of(flux: RunningFlux) -> str:
    command = [sys.executable, "-m", "flux_actors", "status", "--data", str(flux.data)]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True).stdout


def anonymous_bytes_of(pid: int) -> int:
    """Return the memory that a process holds beside pages of files, which the kernel takes back."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "RssAnon" in line]
    return int(line.split()[1]) * 1024


@pytest.fixture
def small(make_flux: Callable[..., RunningFlux]) -> Iterator[RunningFlux]:
    flux = make_flux(["--memory-bytes", str(BUDGET_BYTES), "--partitions", "1"])
    flux.start()
    yield flux
    flux.stop()
    assert list(flux.data.glob("cold-*")) == []


def check_everything(oracle: Oracle, client: httpx.Client) -> None:
    """Compare every entity in a list, one of ten by id, and some histories."""
    oracle.check(list(range(ENTITIES)), lambda position: listed(client, position))
    tenth = list(range(0, ENTITIES, 10))
    oracle.check(tenth, lambda position: many(client, [id_of(index) for index in tenth], position))
    for index in range(0, ENTITIES, ENTITIES // HISTORIES):
        events = client.get(f"/api/events?entity={id_of(index)}&limit=500").raise_for_status().json()
        numbers = [event["payload"]["properties"]["n"] for event in events]
        assert numbers == list(range(oracle.events_of(index), 0, -1))
    assert client.get("/api/state/entities?prefix=home/000&count=true").json() == {"count": 100}


@pytest.mark.long
def test_ten_times_more_entities_than_fit_are_right_under_load(small: RunningFlux) -> None:
    oracle = Oracle()
    shard = small.pid_of("ray::ShardProcess")
    before = anonymous_bytes_of(shard)
    with httpx.Client(base_url=small.url, timeout=60) as client:
        for start in range(0, ENTITIES, 1_000):
            oracle.publish(client, list(range(start, start + 1_000)))
        with ThreadPoolExecutor(3) as pool:
            end_at = time.monotonic() + LOAD_S
            writers = [pool.submit(write_until, oracle, small.url, end_at, seed) for seed in (0, 1)]
            reader = pool.submit(read_until, oracle, small.url, end_at)
            assert min(writer.result() for writer in writers) > 0
            assert reader.result() > 0
        check_everything(oracle, client)
        hot, cold = counts_of(client)
        # The directory is an entity as well.
        assert hot + cold == ENTITIES + 1
        assert 0 < hot < ENTITIES // 5
        assert f"partition 0 keeps {cold} entities on disk" in status_of(small)
        grown = anonymous_bytes_of(shard) - before
        assert grown < BUDGET_BYTES + BESIDE_BYTES

    small.stop()
    small.start()
    shard = small.pid_of("ray::ShardProcess")
    with httpx.Client(base_url=small.url, timeout=60) as client:
        assert sum(counts_of(client)) == ENTITIES + 1
        check_everything(oracle, client)
        oracle.publish(client, list(range(0, ENTITIES, 7)))
        check_everything(oracle, client)
        assert counts_of(client)[0] < ENTITIES // 5
        assert anonymous_bytes_of(shard) - before < BUDGET_BYTES + BESIDE_BYTES
