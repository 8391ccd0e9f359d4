"""What every process tells of itself: its life, its share of the machine, its loop, its way to NATS."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, Protocol

import psutil

from flux_actors import limits
from flux_actors.metering import table
from flux_actors.metering.instruments import Histogram
from flux_actors.metering.samples import Sample


class NatsClient(Protocol):
    """What is looked at of a client of NATS."""

    stats: dict[str, int]

    @property
    def is_connected(self) -> bool:
        """Whether the server is reached."""
        ...

    @property
    def pending_data_size(self) -> int:
        """What waits to be sent, in bytes."""
        ...


class ProcessMeter:
    """Looks at this process, and at how late its event loop is."""

    def __init__(self, role: str, client: NatsClient | None = None) -> None:
        self.role = role
        self._version = version("flux-actors")
        self._client = client
        self._process: Final = psutil.Process()
        self._lag = Histogram()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to watch the loop that runs."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def end(self) -> None:
        """Watch no longer."""
        if self._task is not None:
            self._task.cancel()

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now; 0.2 ms, most of them for /proc."""
        role = self.role
        with self._process.oneshot():
            times = self._process.cpu_times()
            yield table.INFO.of(1, role, socket.gethostname(), self._version)
            yield table.STARTED.of(self._process.create_time(), role)
            yield table.CPU.of(times.user + times.system, role)
            yield table.MEMORY.of(self._process.memory_info().rss, role)
            yield table.FILES.of(self._process.num_fds(), role)
        yield table.LOOP_LAG.seen_by(self._lag, role)
        client = self._client
        if client is not None:
            yield table.NATS_CONNECTED.of(client.is_connected, role)
            yield table.NATS_RECONNECTS.of(client.stats["reconnects"], role)
            yield table.NATS_PENDING.of(client.pending_data_size, role)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + limits.loop_look_s
            await asyncio.sleep(limits.loop_look_s)
            self._lag.observe(max(0.0, loop.time() - due))


def process_name(role: str) -> str:
    """Return a name for this process that no other of the cluster has now, and that says where it is."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}"
