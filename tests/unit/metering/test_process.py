"""What a process tells of itself."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace

import psutil

import flux_actors
from flux_actors import limits
from flux_actors.metering import table
from flux_actors.metering.process import ProcessMeter, process_name


def told(meter):
    return {sample.name: sample for sample in meter.samples()}


def test_it_tells_its_life_and_its_share_of_the_machine():
    samples = told(ProcessMeter("door"))
    assert samples[table.INFO.name].labels[0] == "door"
    assert samples[table.INFO.name].labels[2] == flux_actors.__version__
    assert abs(samples[table.STARTED.name].value - psutil.Process().create_time()) < 1
    assert samples[table.MEMORY.name].value > 1e6
    assert samples[table.CPU.name].value > 0
    assert samples[table.FILES.name].value >= 3
    assert table.NATS_CONNECTED.name not in samples


def test_it_tells_how_it_stands_with_nats():
    client = SimpleNamespace(stats={"reconnects": 3}, is_connected=False, pending_data_size=9)
    samples = told(ProcessMeter("shard", client))
    names = (table.NATS_CONNECTED, table.NATS_RECONNECTS, table.NATS_PENDING)
    assert [samples[metric.name].value for metric in names] == [0, 3, 9]


async def test_a_loop_that_is_held_up_shows(monkeypatch):
    monkeypatch.setattr(limits, "loop_look_s", 0.001)
    meter = ProcessMeter("door")
    meter.begin()
    await asyncio.sleep(0)
    time.sleep(0.06)
    await asyncio.sleep(0.002)
    meter.end()
    lag = told(meter)[table.LOOP_LAG.name]
    assert sum(lag.counts[7:]) >= 1  # over 50 ms
    assert lag.value >= 0.05


def test_a_name_is_of_this_process_alone():
    assert process_name("door").startswith("door-")
    assert process_name("door").endswith(str(os.getpid()))
