"""This machine as entities: what a reading becomes, what a difference asks for, and a real reading."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.client.machine import (
    Difference,
    Disk,
    Interface,
    Machine,
    Process,
    Properties,
    Reading,
    difference,
    entities_of,
)
from flux_actors.domain.entity_id import check_entity_id

READING = Reading(
    at_s=10.0,
    core_percents=(50.0, 0.26),
    load=(0.5, 0.25, 0.125),
    memory_total_bytes=1000,
    memory_available_bytes=250,
    swap_total_bytes=0,
    swap_used_bytes=0,
    disks=(Disk("/", "/dev/one", "ext4", 200, 50), Disk("/mnt/my data", "/dev/two", "xfs", 0, 0)),
    interfaces=(Interface("eth0", up=True, speed_megabits=1000, received_bytes=5000, sent_bytes=300),),
    processes=(Process(7, "shell", "sleeping", 12.34, 4096, 2),),
)


def test_reading_becomes_entities_under_the_prefix() -> None:
    assert entities_of("demo/box/", READING) == {
        "demo/box/cpu": {
            "percent": 25.1,
            "core_percents": [50.0, 0.3],
            "load_1m": 0.5,
            "load_5m": 0.25,
            "load_15m": 0.12,
        },
        "demo/box/memory": {
            "percent": 75.0,
            "total_bytes": 1000,
            "available_bytes": 250,
            "swap_total_bytes": 0,
            "swap_used_bytes": 0,
        },
        "demo/box/disk/": {
            "percent": 25.0,
            "mount": "/",
            "device": "/dev/one",
            "file_system": "ext4",
            "total_bytes": 200,
            "used_bytes": 50,
        },
        "demo/box/disk/mnt/my data": {
            "percent": 0.0,
            "mount": "/mnt/my data",
            "device": "/dev/two",
            "file_system": "xfs",
            "total_bytes": 0,
            "used_bytes": 0,
        },
        "demo/box/network/eth0": {
            "up": True,
            "speed_megabits": 1000,
            "received_bytes": 5000,
            "sent_bytes": 300,
            "received_bytes_per_s": 0,
            "sent_bytes_per_s": 0,
        },
        "demo/box/process/7": {
            "name": "shell",
            "status": "sleeping",
            "cpu_percent": 12.3,
            "memory_bytes": 4096,
            "threads": 2,
        },
    }


@pytest.mark.parametrize(
    ("received_before", "seconds", "rate"),
    [(1000, 2.0, 2000), (5000, 2.0, 0), (9000, 2.0, 0), (1000, 0.0, 0)],
    ids=["grew", "stood still", "began anew", "no time passed"],
)
def test_rates_are_counted_from_the_earlier_reading(received_before: int, seconds: float, rate: int) -> None:
    interface = replace(READING.interfaces[0], received_bytes=received_before)
    earlier = replace(READING, at_s=READING.at_s - seconds, interfaces=(interface,))
    assert entities_of("d/", READING, earlier)["d/network/eth0"]["received_bytes_per_s"] == rate


def test_interface_that_is_new_has_no_rate() -> None:
    earlier = replace(READING, at_s=8.0, interfaces=())
    assert entities_of("d/", READING, earlier)["d/network/eth0"]["received_bytes_per_s"] == 0


def test_names_that_flux_would_refuse_are_made_fit() -> None:
    odd = Process(7, "a\x1b[31m\udcff" + "x" * 1000, "running", 0.0, 0, 1)
    disk = Disk("/mnt/\x07" + "ü" * 1000, "", "", 1, 1)
    entities = entities_of("demo/box/", replace(READING, processes=(odd,), disks=(disk,)))
    assert entities["demo/box/process/7"]["name"].startswith("a[31mxxx")
    for entity_id, properties in entities.items():
        assert check_entity_id(entity_id) == entity_id
        assert msgspec.json.encode(properties)


def test_difference_names_what_is_new_other_and_gone() -> None:
    before: dict[str, Properties] = {"a": {"n": 1, "m": 2}, "b": {"n": 1}, "c": {}, "d": {"n": 1, "old": 5}}
    after: dict[str, Properties] = {"a": {"n": 1, "m": 3}, "b": {"n": 1}, "d": {"n": 1}, "e": {"n": None}}
    assert difference(before, after) == Difference(
        changed={"a": {"m": 3}, "d": {"old": None}, "e": {"n": None}}, gone=["c"]
    )


def test_no_difference_is_false() -> None:
    world = entities_of("d/", READING)
    assert not difference(world, entities_of("d/", replace(READING, at_s=99.0)))
    assert difference(world, {})
    assert difference({}, world)


_worlds = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 2), max_size=3),
)


@given(_worlds, _worlds)
def test_applying_a_difference_leads_to_the_other_world(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]
) -> None:
    step = difference(before, after)
    world = {name: dict(properties) for name, properties in before.items() if name not in step.gone}
    for entity_id, properties in step.changed.items():
        assert properties
        world.setdefault(entity_id, {}).update(properties)
    for entity_id, properties in world.items():
        ended = {name for name, value in properties.items() if name not in after[entity_id]}
        assert all(properties[name] is None for name in ended)
        assert {name: value for name, value in properties.items() if name not in ended} == after[entity_id]
    assert all(not after[entity_id] for entity_id in after.keys() - world.keys())


def test_this_machine_can_be_read() -> None:
    machine = Machine(top=3)
    machine.read()
    reading = machine.read()
    assert reading.core_percents
    assert 0 < reading.memory_available_bytes <= reading.memory_total_bytes
    assert any(disk.mount == "/" and disk.total_bytes > 0 for disk in reading.disks)
    assert len({disk.device for disk in reading.disks}) == len(reading.disks)
    assert 1 <= len(reading.processes) <= 3
    assert list(reading.processes) == sorted(
        reading.processes, key=lambda process: (-process.cpu_percent, -process.memory_bytes, process.pid)
    )


def test_all_processes_hold_this_one() -> None:
    mine = [process for process in Machine(top=100_000).read().processes if process.pid == os.getpid()]
    assert len(mine) == 1
    assert mine[0].memory_bytes > 1_000_000
