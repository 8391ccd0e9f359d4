"""What the benchmarks share: a log of their own, repetition, and a table."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client
from rich.console import Console
from rich.table import Table

from flux_actors.log.connection import connect
from flux_actors.log.jetstream import JetStreamLog
from flux_cluster.data_folder import DataFolder
from flux_cluster.nats_server import NatsServer
from flux_cluster.ports import is_free


def options(description: str | None) -> argparse.Namespace:
    """Return the options of a benchmark that takes just `--quick`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a small run that shows that it works")
    return parser.parse_args()


@asynccontextmanager
async def embedded_log(partitions: int) -> AsyncIterator[tuple[Client, JetStreamLog]]:
    """Yield a log on a nats-server with the settings of `flux up`; it is gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="flux-bench-"))
    folder = DataFolder(root)
    folder.open()
    server = NatsServer(folder, dict(os.environ))
    server.start()
    try:
        _wait_until_open(server)
        client = await connect(server.access, "bench")
        log = JetStreamLog(client)
        await log.create(partitions, "bench", 1)
        yield client, log
        await client.close()
    finally:
        server.stop()
        folder.close()
        shutil.rmtree(root)


def _wait_until_open(server: NatsServer, timeout_s: float = 10.0) -> None:
    host, _, port = server.access.url.rpartition("//")[2].rpartition(":")
    deadline = time.monotonic() + timeout_s
    while is_free(host, int(port)) and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing else runs yet


def median_of(measure: Callable[[], float], times: int = 3) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(times))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
