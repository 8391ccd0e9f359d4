"""What is decided in log order, on two doors and two shards, while shards are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from flux_cluster.processes import of_run
from tests.busy import busy

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
RETRY_S = 40.0
RACERS = 10
INCREMENTS = 12  # of each


def event(entity_id: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "stream": "race",
        "source": "test",
        "payload": {"entity_id": entity_id, "properties": properties} | more,
    }


def patiently(ask) -> httpx.Response:
    """Ask as a client does: 503 and a broken connection are tried again."""
    deadline = time.monotonic() + RETRY_S
    while True:
        try:
            answer = ask()
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            continue
        if answer.status_code != 503:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


@dataclass
class Racer:
    """A client that increments a counter which others increment too; each has connections of its own."""

    url: str
    entity_id: str
    wins: int = 0
    losses: int = 0
    faults: list[str] = field(default_factory=list)

    def run(self) -> None:
        try:
            while self.wins < INCREMENTS:
                self._increment()
        except AssertionError as error:
            self.faults.append(str(error))

    def _increment(self) -> None:
        with httpx.Client(base_url=self.url, timeout=15) as client:  # any door
            read = patiently(lambda: client.get(f"/api/state/entities/{self.entity_id}"))
            body = event(self.entity_id, {"n": read.json()["properties"]["n"] + 1})
            body["eventId"] = str(uuid.uuid4())
            headers = {"If-Match": read.headers["etag"]}
            answer = patiently(lambda: client.post("/api/events", json=body, headers=headers))
        if answer.status_code == 200:
            self.wins += 1
        else:
            assert answer.status_code == 412, answer.text
            assert answer.json()["entity"]["properties"]["n"] >= read.json()["properties"]["n"]
            self.losses += 1


def kill_shards(flux: Any) -> None:
    for process in of_run(flux.run.run_id):
        try:
            if process.cmdline()[:1] and "ray::ShardProcess" in process.cmdline()[0]:
                os.kill(process.pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue


@pytest.mark.long
def test_ten_who_race_lose_no_increment_while_shards_are_killed(twins, namespace):
    counter = f"{namespace}/counter"
    httpx.post(f"{twins.url}/api/events?wait=applied", json=event(counter, {"n": 0})).raise_for_status()
    racers = [Racer(twins.url, counter) for _ in range(RACERS)]
    threads = [threading.Thread(target=racer.run, daemon=True) for racer in racers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + RETRY_S
    while sum(racer.wins for racer in racers) < RACERS * INCREMENTS // 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill_shards(twins)
    for thread in threads:
        thread.join(2 * RETRY_S)
        assert not thread.is_alive()
    assert [racer.faults for racer in racers] == [[]] * RACERS
    assert sum(racer.losses for racer in racers) > 0
    path = f"{twins.url}/api/state/entities/{counter}"
    before = patiently(lambda: httpx.get(path))
    assert before.json()["properties"] == {"n": RACERS * INCREMENTS}
    twins.kill_everything()
    twins.start()
    after = patiently(lambda: httpx.get(path))
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
    history = patiently(lambda: httpx.get(f"{twins.url}/api/events?entity={counter}&limit=500")).json()
    values = [one["payload"]["properties"]["n"] for one in reversed(history)]
    assert values == list(range(RACERS * INCREMENTS + 1))


def test_an_atomic_batch_is_seen_whole_or_not_at_all(twins, namespace):
    ids = [f"{namespace}/{name}" for name in ("from", "to")]
    first = [event(ids[0], {"coins": 100}), event(ids[1], {"coins": 0})]
    httpx.post(f"{twins.url}/api/events/batch?atomic=true&wait=applied", json=first).raise_for_status()

    def move(amount: int) -> bool:
        read = {i: patiently(lambda i=i: httpx.get(f"{twins.url}/api/state/entities/{i}")) for i in ids}
        coins = [read[i].json()["properties"]["coins"] for i in ids]
        moved = [coins[0] - amount, coins[1] + amount]
        bodies = [
            event(i, {"coins": n}) | {"condition": {"etag": read[i].headers["etag"]}}
            for i, n in zip(ids, moved, strict=True)
        ]
        batch = f"{twins.url}/api/events/batch?atomic=true"
        answer = patiently(lambda: httpx.post(batch, json=bodies, timeout=20)).json()
        assert answer["successful"] in (0, 2)
        return answer["successful"] == 2

    threads = [threading.Thread(target=lambda: [move(1) for _ in range(20)], daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    read = f"{twins.url}/api/state/entities/get"
    while any(thread.is_alive() for thread in threads):
        entities = patiently(lambda: httpx.post(read, json={"ids": ids}, timeout=20)).json()["entities"]
        assert sum(entity["properties"]["coins"] for entity in entities) == 100
    for thread in threads:
        thread.join(RETRY_S)
    entities = patiently(lambda: httpx.post(f"{twins.url}/api/state/entities/get", json={"ids": ids})).json()
    assert sum(entity["properties"]["coins"] for entity in entities["entities"]) == 100


@contextmanager
def watching_of(flux: Any, pattern: str) -> Iterator[Watching]:
    """Yield a socket that watches what a pattern names."""
    with connect(flux.ws_url) as socket:
        watching = Watching(socket)
        watching.say(type="subscribe", id="s", entity_id=pattern)
        watching.next("subscribed")
        yield watching


class Watching:
    """A socket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def next(self, kind: str, timeout_s: float = 20.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            message = json.loads(self.socket.recv(timeout=deadline - time.monotonic()))
            if message["type"] == kind:
                return message


def test_a_lease_ends_within_a_second_of_its_time_although_nothing_else_is_written(twins, namespace):
    with watching_of(twins, f"{namespace}/*") as watching:
        began = time.time()
        body = event(f"{namespace}/e", {"here": True}, ttl_ms=1_200)
        httpx.post(f"{twins.url}/api/events", json=body).raise_for_status()
        taken = time.time()
        gone = watching.next("entity_deleted")
        assert time.time() - began >= 1.2
        assert time.time() - taken < 1.2 + busy()
        assert datetime.fromisoformat(gone["timestamp"]).timestamp() - began >= 1.2
    assert httpx.get(f"{twins.url}/api/state/entities/{namespace}/e").status_code == 404


def test_a_property_on_lease_becomes_null(twins, namespace):
    entity_id = f"{namespace}/e"
    with watching_of(twins, entity_id) as watching:
        began = time.time()
        body = event(entity_id, {"typing": True, "name": "ada"}, property_ttl_ms={"typing": 700})
        httpx.post(f"{twins.url}/api/events", json=body).raise_for_status()
        taken = time.time()
        updates = [watching.next("state_update") for _ in range(3)]
        assert time.time() - began >= 0.7
        assert time.time() - taken < 0.7 + busy()
    assert (updates[2]["property"], updates[2]["value"]) == ("typing", None)
    entity = httpx.get(f"{twins.url}/api/state/entities/{entity_id}").json()
    assert entity["properties"] == {"typing": None, "name": "ada"}


def test_what_ran_out_while_everything_was_dead_ends_after_the_start(twins, namespace):
    entity_id = f"{namespace}/e"
    httpx.post(f"{twins.url}/api/events", json=event(entity_id, {"n": 1}, ttl_ms=1_000)).raise_for_status()
    twins.kill_everything()
    twins.start()
    path = f"{twins.url}/api/state/entities/{entity_id}"
    deadline = time.monotonic() + 10 * busy()
    while patiently(lambda: httpx.get(path)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    history = patiently(lambda: httpx.get(f"{twins.url}/api/events?entity={entity_id}")).json()
    assert [one["stream"] for one in history] == ["flux.expire", "race"]


def test_presence_ends_with_its_socket(twins, namespace):
    entity_id = f"{namespace}/ada"
    with watching_of(twins, f"{namespace}/*") as watching:
        with watching_of(twins, "none") as present:
            present.say(type="publish", id=1, presence=True, **event(entity_id, {"here": True}))
            present.next("ack")
            time.sleep(5)  # longer than it would live without its socket
            assert httpx.get(f"{twins.url}/api/state/entities/{entity_id}").status_code == 200
        closed = time.monotonic()
        watching.next("entity_deleted", 6 * busy())
        assert time.monotonic() - closed < 5 * busy()


def test_presence_ends_when_its_door_is_killed(twins, namespace, eventually):
    entity_id = f"{namespace}/ada"
    with watching_of(twins, "none") as present:
        present.say(type="publish", id=1, presence=True, **event(entity_id, {"here": True}))
        present.next("ack")
        for process in of_run(twins.run.run_id):
            try:
                if "ray::ServeReplica" in " ".join(process.cmdline()[:1]):
                    process.kill()
            except psutil.NoSuchProcess:
                continue
        killed = time.time()
    path = f"{twins.url}/api/state/entities/{entity_id}"
    deadline = time.monotonic() + 30
    while patiently(lambda: httpx.get(path)).status_code != 404:
        assert time.monotonic() < deadline
    history = patiently(lambda: httpx.get(f"{twins.url}/api/events?entity={entity_id}")).json()
    assert history[0]["stream"] == "flux.expire"
    assert history[0]["timestamp"] / 1_000 < killed + 5 * busy()


def test_a_claim_has_one_holder_at_both_doors_and_after_a_crash(twins, namespace):
    entity_id = f"{namespace}/task"

    def take(holder: str, ttl_ms: int = 60_000) -> httpx.Response:
        body = {"entity_id": entity_id, "holder": holder, "ttl_ms": ttl_ms}
        return patiently(lambda: httpx.post(f"{twins.url}/api/claims", json=body))

    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(take(f"w{n}")), daemon=True) for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(RETRY_S)
    winners = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(winners) == 1
    assert {answer.json()["holder"] for answer in answers} == {winners[0]["holder"]}
    kill_shards(twins)
    assert take("late").status_code == 409
    assert take(winners[0]["holder"]).json()["token"] == winners[0]["token"]
    query = {"entity_id": entity_id, "holder": winners[0]["holder"]}
    released = patiently(lambda: httpx.delete(f"{twins.url}/api/claims", params=query))
    assert released.json()["released"] is True
    assert take("late", 1_000).json()["token"] > winners[0]["token"]
    deadline = time.monotonic() + 10 * busy()
    while take("next").status_code == 409:
        assert time.monotonic() < deadline
        time.sleep(0.05)
