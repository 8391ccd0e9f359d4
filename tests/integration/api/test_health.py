"""`/api/health`, `/api/ready`, `/api/live`: what probes and people are told."""

from __future__ import annotations

import pytest

import flux_actors
from tests.integration.api.support import event

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def well(api, eventually) -> None:
    """A partition from which nothing was heard for three seconds, as on a busy machine, is not ready."""
    eventually(lambda: api.get("/api/health").status_code == 200)


def test_health_has_exactly_this_shape(api):
    answer = api.get("/api/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "partitions", "lag", "version"}
    assert answer.json()["status"] == "ok"
    assert answer.json()["partitions"] == {"ready": 4, "recovering": 0}
    assert answer.json()["lag"] >= 0
    assert answer.json()["version"] == flux_actors.__version__


def test_health_does_not_grow_with_the_world(api, namespace):
    before = len(api.get("/api/health").content)
    api.post(
        "/api/events/batch?wait=applied", json=[event(f"{namespace}/{n}", {"a": 1}) for n in range(1000)]
    )
    assert len(api.get("/api/health").content) < before + 20


def test_the_lag_goes_back_to_nothing_when_nobody_writes(api, namespace, eventually):
    api.post("/api/events/batch", json=[event(f"{namespace}/{n}", {"a": 1}) for n in range(1000)])
    eventually(lambda: api.get("/api/health").json()["lag"] == 0)


@pytest.mark.parametrize("path", ["/api/ready", "/api/live", "/api/health"])
def test_a_probe_is_answered_200_with_json_and_head_alike(api, path):
    answer, head = api.get(path), api.head(path)
    assert (answer.status_code, head.status_code) == (200, 200)
    assert isinstance(answer.json(), dict)
    assert answer.headers["content-type"] == head.headers["content-type"] == "application/json"
    assert head.content == b""


@pytest.mark.parametrize("path", ["/api/ready", "/api/live", "/api/health"])
def test_a_probe_through_the_second_entrance_is_the_same(proxy, path):
    assert proxy.get(path).status_code == 200
