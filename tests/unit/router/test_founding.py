"""Founding a router: one of a name, going by the newest plan, and no other Flux's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError, RayError

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router import founding
from flux_actors.router.founding import found, plan_of, start_router
from flux_actors.settings import Settings
from flux_actors.shard.retention import Retention

ACCESS = NatsAccess("nats://nowhere")


class FakeRay:
    """A cluster with at most one router, whose actors may fail when they are asked."""

    def __init__(self):
        self.plan = None
        self.started = []
        self.options = {}
        self.faults = []

    def start(self, **options):
        self.options = options
        if self.plan is not None and not options["get_if_exists"]:
            raise ValueError("the name is taken")
        return SimpleNamespace(remote=self._take_or_make)

    def _take_or_make(self, access, plan):
        if self.plan is None:
            self.plan = plan
            self.started.append(plan)
        return SimpleNamespace(founded=SimpleNamespace(remote=self._founded), plan=self.plan)

    async def _founded(self):
        if self.faults:
            raise self.faults.pop()
        return self.plan.owner, self.plan.made_us

    def kill(self, router, *, no_restart):
        assert no_restart
        if router.plan is self.plan:
            self.plan = None


@pytest.fixture
def cluster(monkeypatch):
    cluster = FakeRay()
    monkeypatch.setattr(founding, "RemoteRouter", SimpleNamespace(options=cluster.start))
    monkeypatch.setattr(founding, "ray", cluster)
    monkeypatch.setattr(founding, "_RETRY_S", 0.0)
    return cluster


def plan(owner="me", made_us=1, **settings):
    return plan_of(Settings(**settings), owner, made_us)


async def test_many_doors_found_one_router(cluster):
    await asyncio.gather(*(found(ACCESS, plan()) for _ in range(5)))
    assert len(cluster.started) == 1
    assert (cluster.options["lifetime"], cluster.options["max_restarts"]) == ("detached", -1)


async def test_a_newer_plan_replaces_the_router_and_an_older_one_leaves_it(cluster):
    await found(ACCESS, plan(made_us=1, shards=1))
    await asyncio.gather(*(found(ACCESS, plan(made_us=2, shards=3)) for _ in range(3)))
    await found(ACCESS, plan(made_us=1, shards=1))
    assert [started.made_us for started in cluster.started] == [1, 2]
    assert cluster.plan.shards == 3


async def test_the_router_of_another_flux_is_left_alone(cluster):
    await found(ACCESS, plan(owner="somebody else"))
    with pytest.raises(Refused, match="already runs the Flux of somebody else"):
        await found(ACCESS, plan(made_us=2))
    assert cluster.plan.owner == "somebody else"


@pytest.mark.parametrize("fault", [RayActorError(), TimeoutError()])
async def test_a_router_that_is_ending_or_beginning_is_asked_again(cluster, fault):
    cluster.faults = [fault, fault]
    await found(ACCESS, plan())
    assert cluster.faults == []


async def test_a_router_that_cannot_say_is_told(cluster):
    cluster.faults = [RayError("no")]
    with pytest.raises(Unavailable, match="does not say"):
        await found(ACCESS, plan())


async def test_one_that_never_comes_up_is_told_in_time(cluster, monkeypatch):
    monkeypatch.setattr(founding, "_FOUND_S", 0.01)
    cluster.faults = [TimeoutError()] * 1_000_000
    with pytest.raises(Unavailable, match="no router came up"):
        await found(ACCESS, plan())


def test_a_launcher_takes_nobody_elses_router(cluster):
    start_router(ACCESS, plan(), or_take=False)
    with pytest.raises(ValueError, match="taken"):
        start_router(ACCESS, plan(), or_take=False)


def test_a_plan_is_what_the_settings_say():
    made = plan(data=Path("/d"), shards=3, log_replicas=3, memory_bytes=1 << 30, log_max_age=9, spread="a,b")
    assert (made.owner, made.made_us, made.shards, made.log_replicas) == ("me", 1, 3, 3)
    assert (made.snapshots, made.spread) == ("/d/snapshots", {"a", "b"})
    assert made.memory is not None
    assert made.retention == Retention(9, None)
    assert plan().memory is None
    assert "made-up" not in repr(plan(admin_token="made-up"))
