"""Two doors and two shards: every door tells the same, and what an admin sets holds everywhere and lasts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.busy import busy

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
DOORS = SHARDS = 2
START_S = 30.0  # the first door is ready some seconds before the second


@contextmanager
def each_door(url: str, headers: dict[str, str] | None = None) -> Iterator[list[httpx.Client]]:
    """Yield a client of each door: its one connection stays with the door that took it."""
    clients: dict[int, httpx.Client] = {}
    deadline = time.monotonic() + START_S
    with ExitStack() as stack:
        while len(clients) < DOORS:
            assert time.monotonic() < deadline, f"{len(clients)} of {DOORS} doors answered"
            client = stack.enter_context(httpx.Client(base_url=url, timeout=10))
            clients.setdefault(client.get("/api/status", headers=headers).json()["door"]["pid"], client)
        yield list(clients.values())


def test_partitions_are_spread_over_both_shards_and_both_doors_listen(twins):
    parts = httpx.get(f"{twins.url}/api/status").json()["partitions"]
    assert len({part["shard"] for part in parts}) == SHARDS
    with each_door(twins.url) as doors:
        assert [door.get("/api/health").status_code for door in doors] == [200, 200]


def test_any_door_tells_the_metrics_of_all(twins, eventually):
    def all_told(door: httpx.Client) -> bool:
        told = door.get("/metrics").text
        wanted = [f'flux_scrape_processes{{role="{role}"}} 2.0' for role in ("door", "shard")]
        return all(line in told for line in [*wanted, "flux_scrape_missing_processes 0.0"])

    with each_door(twins.url) as doors:
        for door in doors:
            eventually(lambda door=door: all_told(door), 10, "both doors and both shards to answer")


def test_a_write_at_one_door_is_read_at_the_other_by_its_position(twins, namespace):
    for number in range(20):
        entity_id = f"{namespace}/e{number}"
        body = {
            "stream": "a",
            "source": "s",
            "payload": {"entity_id": entity_id, "properties": {"n": number}},
        }
        written = httpx.post(f"{twins.url}/api/events", json=body)
        headers = {"Flux-Position": written.headers["Flux-Position"]}
        path = f"/api/state/entities/{entity_id}"
        read = httpx.get(f"{twins.url}{path}", headers=headers)
        assert read.json()["properties"] == {"n": number}
    with each_door(twins.url) as doors:
        first, second = (door.get(f"/api/state/entities?namespace={namespace}") for door in doors)
    assert first.content == second.content
    assert len(first.json()) == 20


def test_sockets_at_both_doors_get_every_update_in_order(twins, namespace):
    entity_id = f"{namespace}/e"
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(twins.ws_url)) for _ in range(8)]
        for socket in sockets:
            socket.send(json.dumps({"type": "subscribe", "id": 1, "entity_id": entity_id}))
            while json.loads(socket.recv(timeout=20))["type"] != "subscribed":
                pass
        for number in range(50):
            payload = {"entity_id": entity_id, "properties": {"n": number}}
            event = {"stream": "a", "source": "s", "payload": payload}
            httpx.post(f"{twins.url}/api/events", json=event).raise_for_status()
        for socket in sockets:
            assert [value_of(socket) for _ in range(50)] == list(range(50))


@pytest.fixture
def configured(twins) -> Iterator[None]:
    """Leave the configuration to other tests as it was."""
    before = httpx.get(f"{twins.url}/api/admin/config").raise_for_status().json()
    yield
    httpx.put(f"{twins.url}/api/admin/config", json=before).raise_for_status()


def value_of(socket: Any) -> Any:
    while True:
        message = json.loads(socket.recv(timeout=20))
        if message["type"] == "state_update":
            return message["value"]


def test_what_an_admin_sets_is_in_force_on_both_doors_within_a_second_and_after_a_restart(
    twins, configured, eventually
):
    change = {"body_size_limit_single_bytes": 4096}
    large = {"stream": "a", "source": "s", "payload": {"text": "x" * 5000}}
    with each_door(twins.url) as doors:
        whole = doors[0].put("/api/admin/config", json=change).raise_for_status().json()
        set_at = time.monotonic()
        eventually(
            lambda: [door.get("/api/admin/config").json() for door in doors] == [whole, whole], 2 + 2 * busy()
        )
        assert time.monotonic() - set_at <= busy()
        assert [door.post("/api/events", json=large).status_code for door in doors] == [413, 413]
    twins.kill_everything()
    twins.start()
    with each_door(twins.url) as doors:
        assert [door.get("/api/admin/config").json() for door in doors] == [whole, whole]
        assert [door.post("/api/events", json=large).status_code for door in doors] == [413, 413]
