"""Code that misbehaves, on the real engine: it is stopped and marked, and its neighbours go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests.asker import Asker
from tests.busy import busy
from tests.conftest import RunningFlux, wait_for
from tests.integration.misbehaving import HANDLER_S, SPACE
from tests.patient import Client

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

BUSY = 6  # processor time takes so many times longer where others use the machine
# The kind of fault of each, and for how long it may hold up those who share its process, in all its tries.
FAULTS = {
    "raise": ("raised", 0.5),
    "recurse": ("raised", 0.5),
    "exit": ("raised", 0.5),
    "fan-out": ("too-many-effects", 0.5),
    "loop": ("too-long", HANDLER_S + 0.5),
    "catch-all": ("too-long", HANDLER_S + 2),
    "sleep": ("too-long", HANDLER_S + 2),
    "hang-in-c": ("too-long", HANDLER_S + 2),
    "hoard": ("too-large or too-long", HANDLER_S + 2),  # whichever bound a busy machine meets first
    "too-large": ("too-large", 0.5),
    "exit-at-once": ("lost", 2),
    "kill-itself": ("lost", 2),
}
# What a reducer does, the kind of fault, and for how long everything in its shard may wait for it.
REDUCERS = {
    "raise": ("reducer-failed", 0.5),
    "nothing": ("reducer-failed", 0.5),
    "number": ("reducer-failed", 0.5),
    "large-answer": ("reducer-failed", 0.5),
    "recurse": ("reducer-failed", 0.5),
    "exit": ("reducer-failed", 0.5),
    "loop": ("reducer-overran", 2),
    "catch-all": ("reducer-overran", 3),
    "sleep": ("reducer-overran", 3),
    "hang-in-c": ("reducer-overran", 3),
    "hoard": ("reducer-overran", 2),
    "too-large": ("reducer-overran", 2),
    "exit-at-once": ("reducer-overran", 2),
    "kill-itself": ("reducer-overran", 2),
}
ANSWERS = {
    "large-answer": "raised",
    "no-answer": "raised",
    "raise": "raised",
    "loop": "too-long",
    "exit-at-once": "lost",
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


ASKING = """
import flux_actors as flux
from flux_actors.errors import HandlerFailed
entity = flux.connect().entity("misbehaving/bad/asked")
for how, kind in {answers}.items():
    try:
        print(entity.ask(how, deadline_s=20))
    except HandlerFailed as error:
        assert error.message.startswith(kind), (how, error.message)
    else:
        raise AssertionError(how)
    assert entity.ask("number") == 7
"""
SHARD = "ray::ShardProcess"


class Neighbour:
    """Publishes one event after the other, and waits for what a behaviour makes of each."""

    def __init__(self, url: str, name: str) -> None:
        self._client = Client(url)
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
            self._client.publish(f"{SPACE}/good/{self._name}", {"n": number})
            while self._client.properties(f"{SPACE}/echo/{self._name}").get("n") != number:
                if self._stop.wait(0.005):
                    return
            self.times.append((began, time.time() - began))


def fault_of(client: Client, entity_id: str) -> dict[str, Any]:
    return client.properties(f"flux-core/faults/{entity_id}")


@pytest.fixture
def client(acting: RunningFlux) -> Iterator[Client]:
    """A client that tries again."""
    client = Client(acting.url)
    yield client
    client.close()


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
    acting, client, asker, neighbour, eventually, how
):
    kind, bound_s = FAULTS[how]
    entity_id, shard = f"{SPACE}/bad/{how}", acting.pid_of(SHARD)
    began = time.time()
    client.publish(entity_id, {"how": how})
    eventually(lambda: fault_of(client, entity_id).get("state") == "stopped", 60, "the entity to be stopped")
    took_s = time.time() - began

    fault = fault_of(client, entity_id)
    held_up_s = neighbour.worst_since(began)
    heard = asker.since(began)
    asked_s = max(one.took_s for one in heard)
    told = f"stopped after {took_s:.2f} s, messages held up {held_up_s:.2f} s, asks {asked_s:.2f} s"
    print(f"{how}: {told}: {fault['error']}")  # noqa: T201 - figures
    assert (fault["behaviour"], fault["entity_id"]) == ("Bad", entity_id)
    assert fault["kind"] in kind.split(" or "), fault
    assert client.properties(entity_id) == {"how": how}
    assert client.properties(f"{SPACE}/effect/{how}") == {}
    assert {one.error for one in heard} == {""}
    assert acting.pid_of(SHARD) == shard
    assert max(held_up_s, asked_s) < max(BUSY, busy()) * bound_s


@pytest.mark.parametrize("how", REDUCERS)
def test_a_reducer_that_misbehaves_leaves_its_entity_as_it_was_and_others_go_on(
    acting, client, asker, neighbour, eventually, how
):
    kind, bound_s = REDUCERS[how]
    entity_id, other, shard = f"{SPACE}/reduce/{how}", f"{SPACE}/reduce/other", acting.pid_of(SHARD)
    client.publish(entity_id, {"n": 2})
    client.publish(entity_id, {"n": 3}, wait=True)
    before = client.properties(other).get("sum", 0)
    began = time.time()
    client.publish(entity_id, {"how": how})
    client.publish(other, {"n": 1})
    client.publish(entity_id, {"n": 4}, wait=True)
    eventually(lambda: fault_of(client, entity_id).get("state") == "stopped", 60, "the entity to be stopped")

    fault = fault_of(client, entity_id)
    held_up_s = neighbour.worst_since(began)
    asked_s = max(one.took_s for one in asker.since(began))
    told = f"messages held up {held_up_s:.2f} s, asks {asked_s:.2f} s"
    print(f"reduce {how}: {told}: {fault['error']}")  # noqa: T201 - figures
    assert (fault["behaviour"], fault["kind"]) == ("Reducing", kind)
    assert client.properties(entity_id) == {"sum": 5}
    assert client.properties(other) == {"sum": before + 1}
    assert acting.pid_of(SHARD) == shard
    assert max(held_up_s, asked_s) < max(BUSY, busy()) * bound_s


def test_a_cycle_of_effects_ends_at_its_depth_and_is_marked(acting, client, eventually):
    client.publish(f"{SPACE}/cycle/ping", {"n": 0})
    eventually(lambda: fault_of(client, f"{SPACE}/cycle/ping"), 20, "the cycle to end")
    fault = fault_of(client, f"{SPACE}/cycle/ping")
    assert (fault["kind"], fault["state"]) == ("cycle", "stopped")
    assert client.properties(f"{SPACE}/cycle/ping") == {"n": 32}
    assert client.properties(f"{SPACE}/cycle/pong") == {"n": 31}
    assert fault_of(client, f"{SPACE}/cycle/pong") == {}


def test_answers_that_cannot_be_given_are_told_to_who_asked_and_the_next_are(acting, client, neighbour):
    began = time.time()
    acting.as_driver(ASKING.format(answers=ANSWERS))
    assert fault_of(client, f"{SPACE}/bad/asked") == {}
    assert neighbour.worst_since(began) < max(BUSY, busy()) * (HANDLER_S + 2)


def test_megabytes_that_a_handler_prints_hold_nobody_up(acting, client, neighbour, eventually):
    began = time.time()
    client.publish(f"{SPACE}/bad/print", {"how": "print"})
    eventually(lambda: client.properties(f"{SPACE}/effect/print") == {"of": "print"}, 20, "the effect")
    assert neighbour.worst_since(began) < max(BUSY, busy())
    assert fault_of(client, f"{SPACE}/bad/print") == {}


def test_code_that_does_not_load_on_the_cluster_is_refused(acting):
    acting.as_driver(REFUSED)
