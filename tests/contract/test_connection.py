"""The connection to NATS against real servers: TLS, a list of them, and as many copies as they can keep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import check_jetstream, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from tests.certificates import make_pair
from tests.nats_cluster import NatsCluster

LOG_ID = "log"


async def done_in_the_end(act: Callable[[], Awaitable[object]]) -> None:
    """Do it again until it is done: a new leader is chosen, or the client finds another server."""
    async with asyncio.timeout(30):
        while True:
            try:
                await act()
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    folder = tmp_path_factory.mktemp("three")
    cluster = NatsCluster(folder, make_pair(folder), {})
    try:
        cluster.start_all()
        yield cluster
    finally:
        cluster.stop()


async def test_a_server_that_is_down_is_passed_over(three: NatsCluster) -> None:
    access = replace(three.access, url=f"tls://127.0.0.1:1,{three.access.url}")
    client = await connect(access, "test")
    try:
        assert client.connected_url.netloc in three.access.url
    finally:
        await client.close()


async def test_a_server_of_another_authority_is_told_nothing(three: NatsCluster, tmp_path) -> None:
    other = make_pair(tmp_path, "localhost")
    access = replace(three.access, ca_file=str(other.certificate))
    with pytest.raises(Unavailable, match=r"certificate is not trusted .*; check FLUX_NATS_CA"):
        await connect(access, "test", 3.0)


async def test_a_client_without_a_certificate_is_not_let_in(three: NatsCluster) -> None:
    access = replace(three.access, certificate_file=None, key_file=None)
    with pytest.raises(Unavailable, match="cannot reach NATS at tls://127"):
        await connect(access, "test", 3.0)


async def test_a_login_is_not_told_to_a_server_without_tls(nats_server, three: NatsCluster) -> None:
    access = replace(nats_server.access, ca_file=three.access.ca_file)
    with pytest.raises(Unavailable, match="offers no TLS, which was asked for"):
        await connect(access, "test", 3.0)


async def test_a_single_server_says_that_it_never_keeps_three_copies(nats_server) -> None:
    client = await connect(nats_server.access, "test")
    try:
        with pytest.raises(
            Refused, match="single server and cannot keep 3 copies of the log; set FLUX_LOG_REPLICAS"
        ):
            await JetStreamLog(client).create(1_000, LOG_ID, 3)
        with pytest.raises(Refused, match="cannot keep 3 copies of the log's key-value store"):
            await JetStreamKeyValue.open(client, "copies", 3)
    finally:
        await client.close()


async def test_more_copies_than_servers_may_come_later(three: NatsCluster) -> None:
    client = await connect(three.access, "test")
    try:
        with pytest.raises(Unavailable, match="fewer than 5 servers"):
            await JetStreamKeyValue.open(client, "five", 5)
    finally:
        await client.close()


async def test_three_servers_keep_three_copies_and_go_on_without_one(three: NatsCluster) -> None:
    await check_jetstream(three.access)
    client = await connect(three.access, "test")
    try:
        log = JetStreamLog(client)
        await log.create(1, LOG_ID, 3)
        store = await JetStreamKeyValue.open(client, "copies", 3)
        await log.append(0, b"before", "block-0", 5.0)
        three.kill(0)
        await done_in_the_end(lambda: log.append(0, b"after", "block-1", 2.0))
        assert (await log.bounds(0)).last == 2
        await done_in_the_end(lambda: store.put("key", b"value"))
    finally:
        await client.close()
