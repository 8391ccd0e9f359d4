"""Three nats-servers: who leads them is found, and when all have all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog, stream_name
from flux_cluster.chaos.nats_servers import NatsServers
from flux_cluster.chaos.quorum import is_current, leader

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(120)]
STREAM = stream_name(0)
ELECTED_S = 30.0


@pytest.fixture
def servers(tmp_path) -> Iterator[NatsServers]:
    servers = NatsServers(tmp_path, {})
    asyncio.run(servers.start())
    yield servers
    servers.stop()


async def append(servers: NatsServers) -> None:
    client = await connect(servers.access, "test")
    try:
        log = JetStreamLog(client)
        await log.create(1, "log", 3)
        await log.append(0, b"data", "one", 10.0)
    finally:
        await client.close()


@pytest.mark.parametrize("stream", [None, STREAM], ids=["meta", "stream"])
def test_a_leader_is_found_and_after_its_end_another_one(servers, eventually, stream):
    asyncio.run(append(servers))
    eventually(lambda: is_current(servers.monitors, [STREAM]), ELECTED_S, "all copies")
    first = eventually(lambda: leader(servers.monitors, stream), ELECTED_S, "a leader")
    servers.kill(servers.number_of(first))
    assert not is_current(servers.monitors, [STREAM])
    eventually(lambda: leader(servers.monitors, stream) not in {first, None}, ELECTED_S, "another leader")
    servers.start_one(servers.number_of(first))
    eventually(lambda: is_current(servers.monitors, [STREAM]), ELECTED_S, "all copies again")
