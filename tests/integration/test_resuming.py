"""Watchers that resume: at another door, and across the end of a shard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from flux_cluster.processes import of_run
from tests.conftest import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
TIMEOUT_S = 30.0
SHARDS = 2


def publish(flux, entity_id, n):
    """Publish and return the position; try again while a part is away."""
    payload = {"entity_id": entity_id, "properties": {"n": n}}
    body = {"stream": "a", "source": "s", "eventId": f"{entity_id}-{n}", "payload": payload}
    answer = httpx.post(f"{flux.url}/api/events", json=body, timeout=TIMEOUT_S).raise_for_status()
    return answer.headers["Flux-Position"]


class Following:
    """A socket that keeps its place, and comes back to it."""

    def __init__(self, flux, pattern):
        self.flux = flux
        self.pattern = pattern
        self.place = None
        self.told = []
        self.kinds = set()
        self.socket = None
        self._stack = ExitStack()

    def come(self):
        self.socket = self._stack.enter_context(
            connect(self.flux.ws_url, max_size=None, proxy=None, open_timeout=TIMEOUT_S)
        )
        extra = {"from": self.place} if self.place else {}
        ask = {"type": "subscribe", "id": 1, "entity_id": self.pattern, "format": "delta", **extra}
        self.socket.send(json.dumps(ask))
        while (message := json.loads(self.socket.recv(TIMEOUT_S)))["type"] != "subscribed":
            pass
        self.place = message["position"]
        return self

    def go(self):
        self._stack.close()

    def hear(self, until):
        """Read until a value was told."""
        for message in self.messages():
            self.kinds.add(message["type"])
            if message["type"] == "delta":
                self.told.append(message["properties"]["n"])
                self.place = message["position"]
                if self.told[-1] == until:
                    return

    def messages(self) -> Iterator[Any]:
        while True:
            message = json.loads(self.socket.recv(TIMEOUT_S))
            if message["type"] != "metrics_update":
                yield message


def test_who_comes_back_at_any_door_has_missed_nothing_and_hears_nothing_twice(twins, namespace):
    followers = [Following(twins, f"{namespace}/*").come() for _ in range(8)]  # some at each door
    number = 0
    for _ in range(5):
        for _ in range(7):
            number += 1
            publish(twins, f"{namespace}/e{number % 3}", number)
        for follower in followers:
            follower.hear(number)
            follower.go()
        number += 1
        publish(twins, f"{namespace}/e", number)
        for follower in followers:
            follower.come()
    for follower in followers:
        follower.hear(number)
        follower.go()
        assert follower.told == list(range(1, number + 1))
        assert follower.kinds == {"delta"}


def test_it_resumes_from_the_log_when_the_shard_that_knew_is_gone(twins, namespace):
    follower = Following(twins, f"{namespace}/*").come()
    publish(twins, f"{namespace}/e", 1)
    follower.hear(1)
    follower.go()
    for number in range(2, 20):
        publish(twins, f"{namespace}/e{number % 3}", number)
    kill_shards(twins)
    for number in range(20, 30):
        publish(twins, f"{namespace}/e{number % 3}", number)
    follower.come()
    follower.hear(29)
    follower.go()
    assert follower.told == list(range(1, 30))
    assert follower.kinds == {"delta"}


def kill_shards(flux):
    """`kill -9` of both shards, once there are both."""
    for shard in wait_for(lambda: shards_of(flux), 60, "both shards"):
        shard.kill()


def shards_of(flux):
    found = []
    for one in of_run(flux.run.run_id):
        with suppress(psutil.NoSuchProcess):
            if "ray::ShardProcess" in " ".join(one.cmdline()[:1]):
                found.append(one)
    return found if len(found) == SHARDS else []


def test_a_watcher_that_stays_misses_nothing_when_shards_die(twins, namespace):
    follower = Following(twins, f"{namespace}/*").come()
    publish(twins, f"{namespace}/e", 1)
    follower.hear(1)
    kill_shards(twins)
    for number in range(2, 40):
        publish(twins, f"{namespace}/e{number % 3}", number)
    follower.hear(39)
    follower.go()
    assert sorted(follower.told) == list(range(1, 40))
    assert follower.kinds == {"delta"}


def test_a_condition_is_asked_anew_when_shards_die(twins, namespace):
    with connect(twins.ws_url, proxy=None, open_timeout=TIMEOUT_S) as socket:
        ask = {"type": "subscribe", "entity_id": f"{namespace}/*", "where": "n > 10", "format": "delta"}
        socket.send(json.dumps(ask))
        publish(twins, f"{namespace}/a", 11)
        publish(twins, f"{namespace}/b", 12)
        kill_shards(twins)
        publish(twins, f"{namespace}/a", 5)
        publish(twins, f"{namespace}/b", 20)
        known = {}
        while known != {f"{namespace}/b": 20}:
            message = json.loads(socket.recv(TIMEOUT_S))
            match message["type"]:
                case "resync":
                    known = {}
                case "state":
                    known[message["entity"]["id"]] = message["entity"]["properties"]["n"]
                case "delta":
                    known[message["entity_id"]] = message["properties"]["n"]
                case "left":
                    known.pop(message["entity_id"], None)
