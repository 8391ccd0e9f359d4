"""`kill -9` of every part while entities act: each message has its effects exactly once, reminders ring once.

The effects are counted by reducers, which go through the same kills.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.asker import Asker
from tests.busy import busy
from tests.chaos.behaving import BATCH, FAR, NEAR, Feeding, moment_of
from tests.conftest import RunningFlux, wait_for
from tests.patient import Client, event_of

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.timeout(240)]

WORKER, SHARD, ROUTER, NATS = "ray::WorkerProcess", "ray::ShardProcess", "ray::NamespaceRouter", "nats-server"
REDUCERS = "reducing_child"
# From the kill until effects of messages that came behind it are there.
BOUND_S = {WORKER: 15, SHARD: 20, ROUTER: 15, NATS: 15}
RINGS_S = 1.0
CLOCKS = 60
DEPLOY = """
import flux_actors as flux
from tests.chaos import behaving
for one in behaving.DEPLOYED:
    flux.deploy(one)
"""


@pytest.fixture(scope="module")
def acting(restartable_flux: RunningFlux) -> RunningFlux:
    """The Flux that may be killed, with behaviours."""
    restartable_flux.as_driver(DEPLOY)
    return restartable_flux


@pytest.fixture
def feeding(acting: RunningFlux) -> Iterator[Feeding]:
    feeding = Feeding(Client(acting.url))
    feeding.start()
    wait_for(lambda: feeding.done() > 50, 60, "messages to have effects")
    yield feeding
    feeding.finish()
    feeding.client.close()


class Clocks:
    """Reminders that are due one after the other."""

    def __init__(self, client: Client, name: str, after_s: Callable[[int], float]) -> None:
        self._client = client
        self._prefix = f"{name}-"
        events = [
            event_of(f"{NEAR}/clock/{name}-{n}", {"after_s": after_s(n)}, f"{name}{n}") for n in range(CLOCKS)
        ]
        client.post("/api/events/batch?wait=applied", events)
        # A reminder counts from when it was set, which is a moment behind the event; or, if what acts is
        # killed before that, as long behind it as the next start takes.
        wait_for(lambda: len(self._set()) == CLOCKS, 30, "all reminders to be set")
        self.due = {
            entity_id.rpartition("/")[2]: moment_of(one["lastUpdated"]) + one["properties"]["after_s"]
            for entity_id, one in self._set().items()
        }

    def _set(self) -> dict[str, dict[str, Any]]:
        return self._client.entities(f"{NEAR}/set/{self._prefix}")

    def rung(self) -> dict[str, dict[str, Any]]:
        """Return what has rung."""
        found = self._client.entities(f"{FAR}/rung/{self._prefix}")
        return {entity_id.rpartition("/")[2]: one for entity_id, one in found.items()}

    def check(self, down: list[tuple[float, float]]) -> float:
        """Each has rung once, and in time or when behaviours ran again; return the worst delay."""
        rung = self.rung()
        assert rung.keys() == self.due.keys()
        assert {one["properties"]["times"] for one in rung.values()} == {1}
        delays: list[float] = []
        late_s = RINGS_S * busy()
        for name, due in self.due.items():
            expected = due
            for fell, up in down:  # what is due shortly before a fall may have to wait for its end
                expected = up if fell - late_s <= expected <= up else expected
            delays.append(moment_of(rung[name]["lastUpdated"]) - expected)
        assert min(moment_of(rung[name]["lastUpdated"]) - due for name, due in self.due.items()) > -0.002
        return max(delays)


def kill(acting: RunningFlux, role: str) -> float:
    """Kill a part and return when, once there is another one."""
    victim = acting.pid_of(role)
    killed = time.time()
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: acting.pid_of(role) != victim, 60, f"another {role}")
    return killed


def acts_again(feeding: Feeding) -> float:
    """Return when a message that came from now on has had its effects."""
    mark = feeding.acked() + len(feeding.feeders) * BATCH
    wait_for(lambda: feeding.done() > mark, 60, "messages to have effects again")
    return time.time()


@pytest.mark.parametrize("role", sorted(BOUND_S))
def test_a_killed_part_leaves_no_effect_out_and_repeats_none(acting, feeding, role):
    clocks = Clocks(feeding.client, f"of-{role.rpartition(':')[2].lower()}", lambda n: 0.5 + n / 12)
    killed = kill(acting, role)
    down = [(killed, acts_again(feeding))]
    took_s = down[0][1] - killed
    wait_for(lambda: len(clocks.rung()) == CLOCKS, 30, "all reminders")
    feeding.finish()
    wait_for(lambda: feeding.done() == feeding.acked(), 30, "all effects")
    feeding.check()
    delay_s = clocks.check(down)
    told = f"{feeding.acked()} messages, latest ring {delay_s:.2f} s"
    print(f"{role}: effects again after {took_s:.2f} s, {told}")  # noqa: T201
    assert took_s < BOUND_S[role] * busy()
    assert delay_s < RINGS_S * busy()


def test_questions_under_way_are_answered_or_fail_by_name_and_can_be_asked_again(acting):
    with Asker(acting, f"{NEAR}/in/asked", deadline_s=10.0) as asker:
        for role in (WORKER, SHARD, NATS, ROUTER):
            kill(acting, role)
            mark = time.time()
            wait_for(lambda mark=mark: _answered(asker, mark), 60, f"answers behind the end of {role}")
    errors = {one.error for one in asker.heard} - {""}
    print(f"{len(asker.heard)} questions, longest {max(one.took_s for one in asker.heard):.2f} s, {errors}")  # noqa: T201
    assert errors <= {"AskTimedOut", "HandlerFailed"}


def _answered(asker: Asker, mark: float) -> bool:
    return any(not one.error and one.began > mark for one in list(asker.heard))


def test_everything_killed_and_started_again_has_every_effect_once_and_reminders_ring(acting, feeding):
    clocks = Clocks(feeding.client, "of-all", lambda n: 1.0 + n / 3)
    fell = time.time()
    acting.kill_everything()
    acting.start()
    down = [(fell, acts_again(feeding))]
    fell = time.time()
    acting.stop()
    acting.start()
    down.append((fell, acts_again(feeding)))
    wait_for(lambda: len(clocks.rung()) == CLOCKS, 60, "all reminders")
    feeding.finish()
    wait_for(lambda: feeding.done() == feeding.acked(), 60, "all effects")
    feeding.check()
    delay_s = clocks.check(down)
    print(f"everything: {feeding.acked()} messages, latest ring {delay_s:.2f} s")  # noqa: T201
    assert delay_s < RINGS_S * busy()
