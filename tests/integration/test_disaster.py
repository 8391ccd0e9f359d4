"""Everything is lost but the backup, which was taken while events flow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flux_actors.domain.fold import PartitionState
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.codec import read_snapshot
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.opening import open_store
from flux_actors.snapshot.store import SnapshotStore
from flux_cluster.data_folder import DataFolder
from flux_cluster.reaching import started
from tests.conftest import RunningFlux
from tests.contract.s3 import fresh_url, in_environment, s3_server
from tests.flux_command import flux_json, run_flux

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

LISTED = "/api/state/entities"


def publish(api: httpx.Client, entity_id: str, value: int) -> str:
    payload = {"entity_id": entity_id, "properties": {"v": value}}
    event = {"stream": "s", "source": "t", "payload": payload}
    done = api.post("/api/events?wait=applied", json=event)
    assert done.status_code == 200, done.text
    return done.headers["Flux-Position"]


@contextmanager
def events_flow(url: str, namespace: str) -> Iterator[None]:
    """Have somebody publish all the while."""
    done = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=url, timeout=30) as api:
            number = 0
            while not done.is_set():
                number += 1
                publish(api, f"{namespace}/flow{number % 7}", number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def told(api: httpx.Client, namespace: str, position: str) -> list[Any]:
    """Return what a client sees of a namespace: lists, ETags, histories, the past."""
    listed = api.get(LISTED, params={"namespace": namespace}).json()
    found: list[Any] = [listed, api.get(LISTED, params={"namespace": namespace, "at": position}).json()]
    for entity in listed:
        found.append(api.get(f"{LISTED}/{entity['id']}").headers["ETag"])
        found.append(api.get("/api/events", params={"entity": entity["id"], "limit": 500}).json())
    return found


def entities_of(data: Path, namespace: str) -> dict[str, Any]:
    """Fold the log of a stopped Flux."""
    with started(DataFolder(data)) as access:
        return asyncio.run(_fold(access, namespace))


async def _fold(access: NatsAccess, namespace: str) -> dict[str, Any]:
    client = await connect(access, "test")
    log = JetStreamLog(client)
    found: dict[str, Any] = {}
    for partition in range(4):
        state, last = PartitionState(partition), (await log.bounds(partition)).last
        reader = log.reader(partition, 0)
        while state.sequence < last:
            blocks = await reader.pull(5.0)
            state.apply(((block.sequence, decoded(block)) for block in blocks), feed=False)
        await reader.close()
        living = (actor for actor in state.entities.values() if actor.lives)
        found |= {
            actor.entity_id: actor.properties
            for actor in living
            if actor.entity_id.startswith(f"{namespace}/")
        }
    await client.close()
    return found


def by_id(listed: list[Any]) -> dict[str, Any]:
    return {entity["id"]: entity["properties"] for entity in listed}


def verified(data: Path, **environment: str) -> Any:
    """Return what `flux verify` finds, whatever that is."""
    done = run_flux("verify", "--data", str(data), **environment)
    rows = msgspec.json.decode(done.stdout)
    assert done.returncode == (0 if all(row["same"] for row in rows) else 1), done.stderr
    return rows


def spoil(store: SnapshotStore, entity_id: str, properties: dict[str, Any]) -> None:
    """Change an entity in the newest snapshots, as a fault of Flux might."""
    for partition in range(4):
        sequence = next(iter(store.sequences(partition)), 0)
        if not sequence:
            continue
        header, state = read_snapshot(store.read(partition, sequence))
        if entity_id in state.entities:
            state.entities[entity_id].properties = properties
            cut, sink = Cut(state, header.log_id), store.begin(partition, sequence)
            for data in iter(cut.next_slice, None):
                sink.write(data)
            sink.commit()


def test_backup_that_was_taken_while_events_flow_is_restored_whole_and_to_a_time_between(
    flux: RunningFlux, api: httpx.Client, namespace: str, tmp_path: Path
) -> None:
    backup, data = str(tmp_path / "backup"), str(flux.data)
    for number in range(10):
        publish(api, f"{namespace}/{number % 4}", number)
    between = datetime.now(UTC).isoformat()
    then = api.get(LISTED, params={"namespace": namespace}).json()
    with events_flow(flux.url, namespace):
        first = flux_json("backup", backup, "--data", data)
        assert all(row["same"] for row in verified(flux.data))
    api.delete(f"{LISTED}/{namespace}/3")
    second = flux_json("backup", backup, "--data", data)
    assert second["blocks"] > first["blocks"]
    now = api.get(LISTED, params={"namespace": namespace}).json()
    for name, expected, more in (("now", now, []), ("then", then, ["--at", between])):
        flux_json("restore", backup, "--data", str(tmp_path / name), *more)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert files
        assert all(path.stat().st_mode & 0o077 == 0 for path in files)
        assert entities_of(tmp_path / name, namespace) == by_id(expected)


@pytest.mark.long
def test_restored_flux_answers_as_the_old_one_did_and_goes_on(
    flux: RunningFlux, api: httpx.Client, namespace: str, make_flux: Callable[..., RunningFlux]
) -> None:
    """By way of S3: the backup is there, and so are the snapshots of the restored one."""
    with s3_server() as s3, in_environment(s3):
        backup, snapshots = fresh_url(), fresh_url()
        for number in range(10):
            position = publish(api, f"{namespace}/{number % 4}", number)
        api.delete(f"{LISTED}/{namespace}/3")
        publish(api, f"{namespace}/0", 99)
        flux_json("backup", backup, "--data", str(flux.data), **s3)
        expected = told(api, namespace, position)
        other = make_flux([], s3 | {"FLUX_SNAPSHOTS": snapshots})
        flux_json("restore", backup, "--data", str(other.data), FLUX_SNAPSHOTS=snapshots, **s3)
        other.start()
        with httpx.Client(base_url=other.url, timeout=30) as client:
            assert told(client, namespace, position) == expected
            publish(client, f"{namespace}/new", 1)
        assert all(row["same"] for row in verified(other.data, **s3))
        other.stop()
        assert any(open_store(snapshots).sequences(partition) for partition in range(4))
        assert not (other.data / "snapshots").exists()
        spoil(open_store(snapshots), f"{namespace}/new", {"v": 2})
        other.start()  # from its snapshots
        with httpx.Client(base_url=other.url, timeout=30) as client:
            assert client.get(f"{LISTED}/{namespace}/new").json()["properties"] == {"v": 2}
        (row,) = [row for row in verified(other.data, **s3) if not row["same"]]
        assert (row["entities_different"], row["different"]) == ([f"{namespace}/new"], [])
