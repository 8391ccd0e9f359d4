"""Snapshots behind a slow network: what waits for them, and what must not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flux_cluster.chaos.relay import Relay, Trouble
from tests.chaos.scaler import Scaler
from tests.contract.s3 import fresh_url, s3_server

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(300)]
DELAY_S = 0.5
ANSWERED_S = 2.0


@pytest.fixture
def slow_flux(make_flux) -> Iterator[Any]:
    """A Flux whose snapshots are in an S3 each of whose requests takes a second."""
    with s3_server() as s3:
        target = int(s3["AWS_ENDPOINT_URL"].rpartition(":")[2])
        with Relay(target) as relay:
            relay.suffer(Trouble(delay_s=DELAY_S))
            where = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}", "FLUX_SNAPSHOTS": fresh_url()}
            flux = make_flux([], s3 | where)
            flux.start()
            yield flux
            flux.kill_everything()


def publish(client: httpx.Client, number: int) -> float:
    """Publish an event and read its entity; return how long that took."""
    began = time.monotonic()
    payload = {"entity_id": f"n{number % 4}/e", "properties": {"n": number}}
    event = {"stream": "slow", "source": "tests", "payload": payload}
    client.post("/api/events", json=event).raise_for_status()
    client.get(f"/api/state/entities/n{number % 4}/e").raise_for_status()
    return time.monotonic() - began


def test_events_and_reads_wait_for_no_snapshot_and_starts_and_stops_do(slow_flux):
    with httpx.Client(base_url=slow_flux.url, timeout=20) as client, Scaler(slow_flux) as scaler:
        number = 0
        for shards in (2, 1):  # partitions move, which reads and writes snapshots
            scaler.scale(shards)
            until = time.monotonic() + 4.0
            while time.monotonic() < until:
                assert publish(client, number) < ANSWERED_S
                number += 1
        scaler.settled()
    slow_flux.stop()
    slow_flux.start()
    with httpx.Client(base_url=slow_flux.url, timeout=20) as client:
        told = [client.get(f"/api/state/entities/n{space}/e").json()["properties"]["n"] for space in range(4)]
    assert sorted(told) == list(range(number - 4, number))
