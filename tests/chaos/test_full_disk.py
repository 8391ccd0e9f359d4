"""Disks without room, for real: small filesystems that are mounted under the embedded log and the snapshots.

Who runs these must be allowed to mount, and is told so otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from flux_actors import limits
from flux_cluster.chaos.small_disk import SmallDisk

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(300)]
MIB = 1024 * 1024
REFUSED_S = limits.append_deadline_s + 3.0
ON_AGAIN_S = 15.0
EVENT_BYTES = 700_000


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[..., SmallDisk]]:
    """Mount a disk of so many bytes at a folder."""
    mounted: list[SmallDisk] = []

    def make(name: str, size_bytes: int) -> SmallDisk:
        folder = tmp_path / name
        folder.mkdir()
        disk = SmallDisk(folder, size_bytes)
        disk.mount()
        mounted.append(disk)
        return disk

    yield make
    for disk in mounted:
        disk.unmount()


@pytest.fixture
def on_small_disk(small_disk, make_flux) -> tuple[Any, SmallDisk]:  # in this order, so Flux ends first
    """A Flux, not started yet, whose data folder is a disk of 128 MiB."""
    flux = make_flux()
    return flux, small_disk(flux.data.name, 128 * MIB)


def publish(flux: Any, number: int, text: str = "") -> httpx.Response:
    payload = {"entity_id": f"n{number % 4}/e", "properties": {"n": number, "text": text}}
    event = {"stream": "disks", "source": "tests", "payload": payload}
    return httpx.post(f"{flux.url}/api/events", json=event, timeout=REFUSED_S + 10)


def numbers(flux: Any, space: int) -> list[int]:
    """Return what the history of an entity has, the oldest first."""
    query = f"entity=n{space}/e&limit=500"
    events = httpx.get(f"{flux.url}/api/events?{query}", timeout=30).raise_for_status().json()
    return [event["payload"]["properties"]["n"] for event in reversed(events)]


def test_a_full_disk_refuses_in_time_loses_nothing_and_has_an_end(on_small_disk, eventually):
    flux, disk = on_small_disk
    flux.start()
    acked = [number for number in range(20) if publish(flux, number).is_success]
    assert acked == list(range(20))
    disk.fill()
    refused = None
    for number in range(20, 60):  # small ones may still go into room that files have already
        began = time.monotonic()
        answer = publish(flux, number, "x" * 5_000)
        assert time.monotonic() - began < REFUSED_S
        if not answer.is_success:
            refused = answer
            break
        acked.append(number)
    assert refused is not None
    assert (refused.status_code, refused.headers["Retry-After"].isdigit()) == (503, True)
    assert httpx.get(f"{flux.url}/api/state/entities/n1/e", timeout=5).status_code == 200
    eventually(lambda: "the disk of the log is full" in flux.output.read_text(), 5, "the word of it")
    disk.clear()
    eventually(lambda: publish(flux, 1_000).is_success, ON_AGAIN_S + REFUSED_S, "publishes to be taken again")
    for space in range(4):
        mine = [number for number in acked if number % 4 == space]
        assert [n for n in numbers(flux, space) if n in set(acked)] == mine


def test_a_log_that_is_larger_than_what_is_left_takes_events_after_a_restart(on_small_disk):
    flux, disk = on_small_disk
    flux.start()
    count = 0
    while disk.free_bytes > 48 * MIB:  # the log has 80 MiB of 128 then
        assert publish(flux, count, "x" * EVENT_BYTES).is_success
        count += 1
    flux.stop()
    flux.start()
    assert publish(flux, count).is_success
    assert max(number for space in range(4) for number in numbers(flux, space)) == count


def test_snapshots_without_room_stop_nobody_and_come_when_there_is_some(small_disk, make_flux):
    disk = small_disk("snapshots", 4 * MIB)
    flux = make_flux([], {"FLUX_SNAPSHOTS": str(disk.folder)})
    flux.start()
    disk.fill()
    for number in range(40):
        assert publish(flux, number).is_success
    flux.stop()
    assert not list(disk.folder.rglob("*.flux"))
    flux.start()
    assert [numbers(flux, space) for space in range(4)] == [list(range(space, 40, 4)) for space in range(4)]
    disk.clear()
    flux.stop()
    assert list(disk.folder.rglob("*.flux"))
    flux.start()
    assert [numbers(flux, space) for space in range(4)] == [list(range(space, 40, 4)) for space in range(4)]
