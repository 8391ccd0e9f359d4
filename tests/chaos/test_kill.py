"""`kill -9` of every part under a stream of publishes: nothing acknowledged is lost, doubled or reordered."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import httpx
import pytest

from tests.busy import busy

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.timeout(240)]

BOUND_S = {"ray::ServeReplica": 15, "ray::ShardProcess": 15, "ray::NamespaceRouter": 15, "nats-server": 10}


@pytest.mark.parametrize("role", sorted(BOUND_S))
def test_a_killed_part_comes_back_and_nothing_acked_is_lost(restartable_flux, load, eventually, role):
    load.start(pace_s=0.3)
    eventually(lambda: load.acked() > 30, 30, "the load to begin")
    victim = restartable_flux.pid_of(role)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: restartable_flux.pid_of(role) != victim, 60, f"another {role}")
    before = load.acked()
    eventually(lambda: load.acked() > before + 30, 60, "writes to go on")
    assert time.monotonic() - killed < BOUND_S[role] * busy()
    load.finish()
    load.check()


def test_a_shard_killed_again_and_again_keeps_everything(restartable_flux, load, eventually):
    load.start(pace_s=0.3)
    for _ in range(3):
        before = load.acked()
        eventually(lambda before=before: load.acked() > before + 20, 30, "writes")
        victim = restartable_flux.pid_of("ray::ShardProcess")
        os.kill(victim, signal.SIGKILL)
        eventually(
            lambda victim=victim: restartable_flux.pid_of("ray::ShardProcess") != victim, 60, "another shard"
        )
    load.finish()
    load.check()


def test_everything_killed_at_once_and_started_again_is_the_same_world(restartable_flux, load, eventually):
    load.start()
    eventually(lambda: load.acked() > 60, 30, "the load to run")
    load.stop.set()
    restartable_flux.kill_everything()
    restartable_flux.start()
    load.finish()
    load.check()
    before = [load.entity(writer) for writer in load.writers]
    restartable_flux.kill_everything()
    restartable_flux.start()
    assert [load.entity(writer) for writer in load.writers] == before
    load.check()


def test_ray_head_killed_is_started_again_by_the_supervisor(restartable_flux, load, eventually):
    load.start(pace_s=0.3)
    eventually(lambda: load.acked() > 30, 30, "the load to begin")
    victim = restartable_flux.pid_of("gcs_server")
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: restartable_flux.pid_of("gcs_server") != victim, 60, "another head")
    before = load.acked()
    eventually(lambda: load.acked() > before + 60, 60, "writes to go on")
    load.finish()
    load.check()
    eventually(lambda: is_ready(restartable_flux.url), 30, "readiness")


def is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/api/ready").status_code == 200
    return False
