"""Code that misbehaves, on the real engine: it is stopped and marked, and its neighbours go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx
import pytest

from tests.asker import Asker
from tests.conftest import RunningFlux, wait_for
from tests.integration.misbehaving import HANDLER_S, SPACE

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# The kind of fault of each, and for how long it may hold up those who share its process, in all its tries.
FAULTS = {
    "raise": ("raised", 0.5),
    "recurse": ("raised", 0.5),
    "exit": ("raised", 0.5),
    "fan-out": ("too-many-effects", 0.5),
    "loop": ("too-long", HANDLER_S + 0.5),
    "catch-all": ("too-long", HANDLER_S + 3),
    "sleep": ("too-long", HANDLER_S + 3),
    "hang-in-c": ("too-long", HANDLER_S + 3),
    "hoard": ("too-large", HANDLER_S + 3),
    "too-large": ("too-large", 0.5),
    "exit-at-once": ("lost", 3),
    "kill-itself": ("lost", 3),
}
DEPLOY = """
import flux_actors as flux
from tests.integration import misbehaving
for one in misbehaving.DEPLOYED:
    flux.deploy(one)
"""
REFUSED = """
import flux_actors as flux
from tests.integration import misbehaving
try:
    flux.deploy(misbehaving.Unloadable)
except flux.errors.Refused as error:
    assert "Unloadable does not load on the cluster: ImportError: no module of that name" in str(error), error
else:
    raise AssertionError
"""


class Neighbour:
    """Publishes one event after the other, and waits for what a behaviour makes of each."""

    def __init__(self, url: str, name: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.times: list[tuple[float, float]] = []  # when each was published, and how long it took

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: len(self.times) > 3, 30, "a neighbour to be served")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        self._client.close()

    def worst_since(self, moment: float) -> float:
        """Return how long it took, at worst, what was not done before a moment."""
        count = len(self.times)
        wait_for(lambda: len(self.times) > count + 1, 60, "the neighbour to go on")
        return max(took for began, took in list(self.times) if began + took > moment)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            began = time.time()
            publish(self._client, f"{SPACE}/good/{self._name}", {"n": number})
            while properties_of(self._client, f"{SPACE}/echo/{self._name}").get("n") != number:
                if self._stop.wait(0.005):
                    return
            self.times.append((began, time.time() - began))


def publish(client: httpx.Client, entity_id: str, properties: dict[str, Any], wait: str = "") -> None:
    payload = {"entity_id": entity_id, "properties": properties}
    event = {"stream": "tests", "source": "tests", "payload": payload}
    client.post(f"/api/events{wait}", json=event).raise_for_status()


def properties_of(client: httpx.Client, entity_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/state/entities/{entity_id}")
    if answer.status_code == 404:
        return {}
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()["properties"]
    return found


def fault_of(client: httpx.Client, entity_id: str) -> dict[str, Any]:
    return properties_of(client, f"flux-core/faults/{entity_id}")


@pytest.fixture(scope="module")
def acting(flux: RunningFlux) -> RunningFlux:
    """The shared Flux with behaviours that misbehave."""
    flux.as_driver(DEPLOY)
    return flux


@pytest.fixture(scope="module")
def asker(acting: RunningFlux) -> Iterator[Asker]:
    with Asker(acting, f"{SPACE}/good/asked") as asker:
        yield asker


@pytest.fixture(scope="module")
def neighbour(acting: RunningFlux) -> Iterator[Neighbour]:
    with Neighbour(acting.url, "told") as neighbour:
        yield neighbour


@pytest.mark.parametrize("how", FAULTS)
def test_a_handler_that_misbehaves_is_stopped_and_marked_and_neighbours_go_on(
    acting, api, asker, neighbour, eventually, how
):
    kind, bound_s = FAULTS[how]
    entity_id, shard = f"{SPACE}/bad/{how}", acting.pid_of("ray::ShardProcess")
    began = time.time()
    publish(api, entity_id, {"how": how})
    eventually(lambda: fault_of(api, entity_id).get("state") == "stopped", 60, "the entity to be stopped")
    took_s = time.time() - began

    fault = fault_of(api, entity_id)
    held_up_s = neighbour.worst_since(began)
    heard = asker.since(began)
    asked_s = max(one.took_s for one in heard)
    told = f"stopped after {took_s:.2f} s, messages held up {held_up_s:.2f} s, asks {asked_s:.2f} s"
    print(f"{how}: {told}: {fault['error']}")  # noqa: T201 - figures
    assert (fault["behaviour"], fault["kind"], fault["entity_id"]) == ("Bad", kind, entity_id)
    assert properties_of(api, entity_id) == {"how": how}
    assert properties_of(api, f"{SPACE}/effect/{how}") == {}
    assert {one.error for one in heard} == {""}
    assert acting.pid_of("ray::ShardProcess") == shard
    assert max(held_up_s, asked_s) < bound_s
