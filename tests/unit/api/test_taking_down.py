"""Whether an application is being deleted, and what is done then."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus

from flux_actors.errors import Unavailable
from flux_api import taking_down
from flux_api.taking_down import is_being_deleted, take_down


@pytest.fixture
def serve(monkeypatch):
    """Serve, of which a test says what it tells."""
    serve = SimpleNamespace(get_replica_context=lambda: SimpleNamespace(app_name="mine"), status=None)
    monkeypatch.setattr(taking_down, "serve", serve)
    return serve


@pytest.mark.parametrize(
    ("statuses", "deleted"),
    [
        ({"mine": ApplicationStatus.DELETING}, True),
        ({"mine": ApplicationStatus.RUNNING}, False),
        ({"mine": ApplicationStatus.DEPLOYING, "theirs": ApplicationStatus.DELETING}, False),
        ({}, False),
    ],
)
async def test_only_an_application_on_its_way_out_is_being_deleted(serve, statuses, deleted):
    applications = {name: SimpleNamespace(status=status) for name, status in statuses.items()}
    serve.status = lambda: SimpleNamespace(applications=applications)
    assert await is_being_deleted() is deleted


async def test_a_serve_that_says_nothing_has_deleted_nothing(serve, monkeypatch):
    def gone():
        raise RayServeException("no controller")

    serve.status = gone
    assert await is_being_deleted() is False
    monkeypatch.setattr(taking_down, "_ASK_S", 0.001)
    serve.status = lambda: time.sleep(0.05)
    assert await is_being_deleted() is False


@pytest.fixture
def done(monkeypatch):
    """What was asked of the keeper and the router."""
    done = []

    async def drain():
        done.append("the keeper drains")

    keeper = SimpleNamespace(drain=SimpleNamespace(remote=drain))
    router = SimpleNamespace(retire=SimpleNamespace(remote=lambda: done.append("the router retires")))
    monkeypatch.setattr(taking_down, "ray", SimpleNamespace(get_actor=lambda name, namespace: keeper))
    monkeypatch.setattr(taking_down, "router_handle", lambda: router)
    return done


async def test_connectors_keep_what_they_know_before_the_router_ends_everything(done):
    await take_down()
    assert done == ["the keeper drains", "the router retires"]


async def test_what_is_not_there_is_no_fault(done, monkeypatch):
    def none(*_, **__):
        raise ValueError("no such actor")

    def no_router():
        raise Unavailable("no router")

    monkeypatch.setattr(taking_down.ray, "get_actor", none)
    await take_down()
    assert done == ["the router retires"]
    monkeypatch.setattr(taking_down, "router_handle", no_router)
    await take_down()
