"""Watchers come and go while shards and doors are killed and partitions move: each ends at the state.

Three clients publish all the time. Sockets and event streams watch through a network that tears connections
at any byte; they come back at whatever door is there. What they fold must be what the server has in the end,
and of no entity may a change come twice, or behind a later one, unless the watch said that it begins anew.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from flux_actors.domain.pattern import names
from flux_cluster.chaos.onlooker import Onlooker, SocketOnlooker
from flux_cluster.chaos.publisher import Publisher
from flux_cluster.chaos.relay import Relay
from flux_cluster.processes import of_run
from tests.chaos.onlookers import StreamOnlooker
from tests.chaos.scaler import Scaler
from tests.conftest import wait_for

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.timeout(180)]
SEED = int(os.environ.get("CHAOS_SEED", "6"))
CHAOS_S = 14.0
KILL_EVERY_S = 3.5
SCALE_EVERY_S = 3.0
CATCH_UP_S = 25.0


@pytest.fixture
def twins(make_flux) -> Any:
    """A Flux of two doors and two shards that may be killed."""
    flux = make_flux(["--doors", "2", "--shards", "2"])
    flux.start()
    return flux


def kill_one(flux: Any, role: str, chance: random.Random) -> str:
    """`kill -9` one process of a role; return which."""
    pids = []
    for process in of_run(flux.run.run_id):
        with suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()[:1]).startswith(role):
                pids.append(process.pid)
    if not pids:
        return f"no {role}"
    os.kill(chance.choice(sorted(pids)), signal.SIGKILL)
    return role


def wreak_havoc(flux: Any, relay: Relay, scaler: Scaler, chance: random.Random) -> list[str]:
    """Tear connections all the time, and now and then kill a shard or a door, or scale; return whom."""
    killed: list[str] = []
    roles = ["ray::ShardProcess", "ray::ServeReplica"] * 4
    numbers = [3, 1, 4, 2] * 2
    end, next_kill, next_scale = (time.monotonic() + after_s for after_s in (CHAOS_S, 2.0, 1.0))
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.1, 0.6))
        relay.cut(chance.choice((0.2, 0.5, 1.0)))
        if time.monotonic() > next_kill:
            next_kill += KILL_EVERY_S
            killed.append(kill_one(flux, roles.pop(0), chance))
        if time.monotonic() > next_scale:
            next_scale += SCALE_EVERY_S
            scaler.scale(numbers.pop(0))
    return killed


def state_of(flux: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """Return what the server has; it may still be on its way back."""

    def read() -> Any:
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{flux.url}/api/state/entities", params={"prefix": prefix}, timeout=10)
            return [answer.json()] if answer.status_code == 200 else None
        return None

    (entities,) = wait_for(read, 60.0, "the state")
    return {entity["id"]: entity["properties"] for entity in entities}


def unlike(onlooker: Onlooker, state: dict[str, dict[str, Any]]) -> list[str]:
    """Return the entities that one has folded otherwise than the server."""
    expected = {i: p for i, p in state.items() if any(names(one, i) for one in onlooker.patterns)}
    seen = {i: p for i, p in dict(onlooker.state).items() if not i.startswith("flux-core/")}
    return [i for i in sorted(seen.keys() | expected.keys()) if seen.get(i) != expected.get(i)]


def differences(onlooker: Onlooker, state: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is unlike, and what was told of it."""
    return [
        f"{i}: {onlooker.state.get(i)} instead of {state.get(i)}\n    "
        + "\n    ".join(onlooker.lines_about(i))
        for i in unlike(onlooker, state)
    ]


def gaps(onlooker: Onlooker, publishers: list[Publisher]) -> list[str]:
    """Return of which entities one was not told every event since it began."""
    written = {i: numbers for one in publishers for i, numbers in one.written.items()}
    return [
        f"{i}: told {told} of {written[i]}\n    " + "\n    ".join(onlooker.lines_about(i))
        for i, told in sorted(onlooker.told.items())
        if told != written[i][-len(told) :]
    ]


def test_every_watcher_ends_at_the_state_and_hears_nothing_twice(twins):
    prefix, chance = f"w{uuid.uuid4().hex[:8]}", random.Random(SEED)
    stop_writing, stop_watching = threading.Event(), threading.Event()
    namespaces = [f"{prefix}{n}" for n in range(4)]
    publishers = [Publisher(twins.url, namespaces, n, SEED, stop_writing) for n in range(3)]
    spaces = tuple(f"{space}/*" for space in namespaces)
    onlookers: list[SocketOnlooker | StreamOnlooker] = [
        SocketOnlooker("socket, everything", ("*",)),
        SocketOnlooker("socket, two namespaces", spaces[:2]),
        SocketOnlooker("socket, one entity", (f"{prefix}0/p0-1",)),
        StreamOnlooker("stream, everything", ("*",)),
        StreamOnlooker("stream, one namespace", spaces[2:3]),
        StreamOnlooker("stream, one entity", (f"{prefix}1/p1-2",)),
    ]
    with Scaler(twins) as scaler, Relay(twins.port, seed=SEED) as relay:
        broken = f"http://127.0.0.1:{relay.port}"
        threads = [threading.Thread(target=one.run) for one in publishers]
        threads += [threading.Thread(target=one.run, args=(broken, stop_watching)) for one in onlookers]
        for thread in threads:
            thread.start()
        try:
            killed = wreak_havoc(twins, relay, scaler, chance)
            scaler.scale(3)
            placed = scaler.settled()
            stop_writing.set()
            for thread in threads[:3]:
                thread.join(90)
            state = state_of(twins, prefix)
            deadline = time.monotonic() + CATCH_UP_S
            while any(unlike(one, state) for one in onlookers) and time.monotonic() < deadline:
                time.sleep(0.05)
                state = state_of(twins, prefix)
        finally:
            stop_writing.set()
            stop_watching.set()
            relay.cut(1.0)
            for thread in threads:
                thread.join(90)
    print(f"seed {SEED}: {sum(one.events for one in publishers)} events, {relay.cuts} cuts, killed {killed}")  # noqa: T201
    for one in onlookers:
        print(  # noqa: T201
            f"{one.name}: {one.changes} changes on {one.connections} connections, "
            f"{one.anew} anew, {one.resyncs} resyncs"
        )
    assert [trouble for one in publishers for trouble in one.trouble] == []
    assert {i: p for one in publishers for i, p in one.state.items()} == state
    assert [f"{one.name}: {trouble}" for one in onlookers for trouble in one.trouble[:5]] == []
    assert [f"{one.name}: {text}" for one in onlookers for text in differences(one, state)[:3]] == []
    assert [f"{one.name}: {text}" for one in onlookers for text in gaps(one, publishers)[:3]] == []
    assert len(placed) == 3
    assert sorted(partition for shard in placed for partition in shard) == [0, 1, 2, 3]
    assert {"ray::ShardProcess", "ray::ServeReplica"} <= set(killed)
    assert all(one.connections > 5 for one in onlookers)
