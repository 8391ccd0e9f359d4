"""A Flux on one NATS server moves, by its backup, to three of them with TLS, and is repartitioned there."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator

import httpx
import pytest

from flux_actors.log.connection import connect
from flux_actors.log.stores import stream_names
from flux_cluster.processes import of_run
from tests.certificates import make_pair
from tests.chaos.conftest import Load, Writer
from tests.conftest import RunningFlux, wait_for
from tests.flux_command import flux_json
from tests.nats_cluster import NatsCluster

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(400)]

ADMIN = "the-admins-own"
GUARDED = {"FLUX_AUTH_ENABLED": "true", "FLUX_ADMIN_TOKEN": ADMIN}
WRITERS = 6
SUBJECTS = ("flux.events.>", "$KV.>", "$O.>")


@pytest.fixture
def three(tmp_path) -> Iterator[NatsCluster]:
    mark = uuid.uuid4().hex
    servers = NatsCluster(tmp_path, make_pair(tmp_path), {"FLUX_RUN_ID": mark})
    try:
        servers.start_all()
        yield servers
    finally:
        servers.stop()
        assert of_run(mark) == []


def guarded_writers(url: str) -> list[Writer]:
    """Writers of namespaces of their own, each with its token."""
    writers = []
    for number in range(WRITERS):
        name = f"tenant{number}"
        answer = httpx.post(f"{url}/api/namespaces", json={"name": name}, headers=_bearer(ADMIN), timeout=20)
        headers = _bearer(answer.raise_for_status().json()["token"])
        writers.append(Writer(url, f"{name}/entity", threading.Event(), pace_s=0.2, headers=headers))
    return writers


def load_of(writers: list[Writer], url: str) -> Load:
    """The same writers, with what they have written, on another Flux."""
    load = Load(url)
    load.writers = [Writer(**vars(writer) | {"url": url, "stop": load.stop}) for writer in writers]
    return load


def run(load: Load) -> None:
    load.threads = [threading.Thread(target=writer.run, daemon=True) for writer in load.writers]
    for thread in load.threads:
        thread.start()


def copies(servers: NatsCluster) -> dict[str, int]:
    """Return in how many copies each stream is kept."""

    async def ask() -> dict[str, int]:
        client = await connect(servers.access, "test")
        try:
            jetstream = client.jetstream()
            names = [name for subject in SUBJECTS for name in await stream_names(client, subject)]
            return {name: (await jetstream.stream_info(name)).config.num_replicas for name in names}
        finally:
            await client.close()

    return asyncio.run(ask())


def write_more(load: Load, count: int) -> None:
    acked = load.acked()
    wait_for(lambda: load.acked() > acked + count, 60, "writes to go on")


def test_a_flux_moves_to_three_servers_and_is_repartitioned_there(make_flux, three, tmp_path):
    old = make_flux(["--shards", "2", "--doors", "2"], GUARDED)
    old.start()
    load = load_of(guarded_writers(old.url), old.url)
    run(load)
    write_more(load, 60)
    load.finish()
    load.check()
    backup = str(tmp_path / "backup")
    flux_json("backup", backup, "--data", str(old.data))
    old.stop()

    there = three.settings | GUARDED | {"FLUX_LOG_REPLICAS": "3"}
    new = make_flux(["--shards", "2", "--doors", "2"], there)
    data = ("--data", str(new.data))
    flux_json("restore", backup, *data, **there)
    new.start()
    moved = load_of(load.writers, new.url)
    moved.check()
    assert set(copies(three).values()) == {3}

    run(moved)  # with the tokens that they have
    write_more(moved, 30)
    done = flux_json("repartition", "--partitions", "8", "--spread", "tenant0", *data, **there)
    assert (done["partitions"], done["spread"]) == ([4, 8], ["tenant0"])
    write_more(moved, 60)
    three.kill(0)
    write_more(moved, 60)
    moved.finish()
    moved.check()
    _check_strangers(new, moved.writers[0])
    assert set(copies(three).values()) == {3}
    assert all(row["same"] for row in flux_json("verify", *data, **there))
    new.stop()


def _check_strangers(flux: RunningFlux, writer: Writer) -> None:
    """A token is good for its namespace alone, and none for none."""
    payload = {"entity_id": writer.entity_id.replace("0", "1"), "properties": {"v": 1}}
    event = {"stream": "s", "source": "t", "payload": payload}
    refused = [
        httpx.post(f"{flux.url}/api/events", json=event, headers=headers, timeout=20).status_code
        for headers in ({}, writer.headers)
    ]
    assert refused == [401, 403]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
