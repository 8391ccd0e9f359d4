"""A process that tells of itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flux_actors import limits
from flux_actors.log import telling
from flux_actors.log.memory import MemoryBus
from flux_actors.log.roll_call import RollCall
from flux_actors.metering.samples import Kind, Metric

SOME = Metric("flux_some", Kind.GAUGE, "some")
CLIENT = SimpleNamespace(stats={"reconnects": 0}, is_connected=True, pending_data_size=0)


@pytest.mark.parametrize(("name", "begins"), [("", "router-"), ("shard-0", "shard-0")])
async def test_it_answers_with_its_own_life_and_its_meter(monkeypatch, name, begins):
    monkeypatch.setattr(limits, "roll_wait_s", 0.2)
    bus = MemoryBus()
    monkeypatch.setattr(telling, "NatsBus", lambda *_: bus)
    answerer = await telling.tell(CLIENT, "router", lambda: [SOME.of(3)], name=name)
    caller = RollCall(bus, "caller", list)
    await caller.open()
    (report,) = (await caller.call()).reports
    assert report.process.startswith(begins)
    assert report.role == "router"
    values = {sample.name: sample.value for sample in report.samples}
    assert values["flux_some"] == 3
    assert values["flux_process_info"] == values["flux_nats_connected"] == 1
    await answerer.close()
