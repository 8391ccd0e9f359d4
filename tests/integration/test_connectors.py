"""Connectors on the real cluster, against a server on this machine that behaves like the APIs they poll."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from flux_actors.connectors.vault import new_key
from flux_cluster.processes import of_run
from tests.unit.connectors.fake_api import FakeApi, Reply, serving_beside

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
ACTOR = "ray::ConnectorsProcess"
KEEPER = "ray::KeeperProcess"


def source(url: str, namespace: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": "weather",
        "url": url,
        "poll_interval_secs": 1,
        "entity_key": "weather",
        "namespace": namespace,
    } | fields


@pytest.fixture
def weather() -> Iterator[FakeApi]:
    with serving_beside(lambda asked: Reply.of({"celsius": 21})) as api:
        yield api


def test_generic(make_flux, weather, namespace, eventually):
    flux = make_flux([], {"FLUX_CONNECTORS_ALLOW_PRIVATE": "true", "FLUX_ENCRYPTION_KEY": new_key()})
    flux.start()
    began = time.monotonic()
    answer = httpx.post(f"{flux.url}/api/connectors/generic", json=source(weather.url, namespace))
    assert answer.status_code == 200, answer.text
    entity = f"{flux.url}/api/state/entities/{namespace}/weather"
    eventually(lambda: httpx.get(entity).status_code == 200, 20, "the entity")
    print("first", time.monotonic() - began)
    print(httpx.get(f"{flux.url}/api/connectors/generic").json())
    pid = flux.pid_of(ACTOR)
    os.kill(pid, signal.SIGKILL)
    before = len(weather.asked)
    began = time.monotonic()
    eventually(lambda: len(weather.asked) > before + 1, 20, "polls to go on")
    print("again", time.monotonic() - began)
    for p in of_run(flux.run.run_id):
        print(p.pid, p.name(), p.memory_info().rss // 1000000)
    print(httpx.get(f"{flux.url}/api/events?entity={namespace}/weather").json())
