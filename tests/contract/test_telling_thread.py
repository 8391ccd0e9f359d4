"""A process that tells of itself from a thread, to a real nats-server: also when that was away at first."""

from __future__ import annotations

import asyncio
import threading
import time

from flux_actors.log.bus import NatsBus
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.roll_call import RollCall
from flux_actors.log.telling_thread import TellingThread
from flux_actors.metering.samples import Kind, Metric
from flux_cluster.ports import free_ports
from tests.contract.conftest import RunningNats

SOME = Metric("flux_some", Kind.GAUGE, "some")
ANSWER_S = 15.0


async def told(nats_server: RunningNats) -> float:
    """Return what is told of `flux_some`, as soon as somebody tells."""
    client = await connect(nats_server.access, "test")
    caller = RollCall(NatsBus(client), "caller", list)
    await caller.open()
    try:
        async with asyncio.timeout(ANSWER_S):
            while True:
                for report in (await caller.call()).reports:
                    values = {sample.name: sample.value for sample in report.samples}
                    if report.role == "thing" and values["flux_process_info"] == 1:
                        return values["flux_some"]
                await asyncio.sleep(0.05)
    finally:
        await client.close()


async def test_it_answers_until_it_ends(nats_server):
    telling = TellingThread(nats_server.access, "thing", lambda: [SOME.of(3)]).begin()
    assert await told(nats_server) == 3
    await asyncio.to_thread(telling.end)
    client = await connect(nats_server.access, "test")
    caller = RollCall(NatsBus(client), "caller", list)
    await caller.open()
    assert (await caller.call()).reports == []
    await client.close()


async def test_it_begins_when_the_server_does(nats_server):
    nats_server.kill()
    telling = TellingThread(nats_server.access, "thing", lambda: [SOME.of(4)]).begin()
    await asyncio.sleep(0.2)  # what is tested: that it goes on after it could not connect
    nats_server.start()
    assert await told(nats_server) == 4
    await asyncio.to_thread(telling.end)


def test_it_ends_at_once_although_no_server_answers():
    (port,) = free_ports(1)
    telling = TellingThread(NatsAccess(f"nats://127.0.0.1:{port}"), "thing").begin()
    time.sleep(0.2)  # it tries to connect by now
    began = time.monotonic()
    telling.end()
    assert time.monotonic() - began < 4.5  # and not for as long as it would try
    assert "telling" not in {thread.name for thread in threading.enumerate()}
