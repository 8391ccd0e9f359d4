"""The baselines B1, B2 and B3: what this machine does without Flux, at the time of the run."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from nats.js.api import StorageType, StreamConfig

from flux_actors.errors import Unavailable
from flux_actors.log.connection import connect
from flux_bench.generating import Generator
from flux_bench.generator.http import get
from flux_bench.generator.jobs import Pace, Place, Read
from flux_bench.targets import Baseline
from flux_cluster.data_folder import DataFolder
from flux_cluster.nats_server import NatsServer
from flux_cluster.ports import free_ports

_CONNECTIONS: Final = 32
_MESSAGE: Final = b"x" * 300
_OPEN_S: Final = 20.0


class Baselines:
    """Measures a baseline when it is asked for; its servers are started once and idle in between."""

    def __init__(self, generator: Generator, seconds: float) -> None:
        self._generator = generator
        self._seconds = seconds
        self._app: subprocess.Popen[bytes] | None = None
        self._app_port = 0
        self._nats: NatsServer | None = None
        self._folder: DataFolder | None = None

    def measure(self, baseline: Baseline) -> float:
        """Measure now."""
        match baseline:
            case Baseline.B1:
                return self._gets_per_s()
            case Baseline.B2:
                return self._events_per_s()
            case Baseline.B3:
                return asyncio.run(self._publishes_per_s())

    def _gets_per_s(self) -> float:
        if self._app is None:
            (self._app_port,) = free_ports(1)
            command = [sys.executable, "-m", "flux_bench.empty_app", str(self._app_port)]
            self._app = subprocess.Popen(command, start_new_session=True)
            wait_for_port("127.0.0.1", self._app_port)
        request = get(f"127.0.0.1:{self._app_port}", "/api/state/entities/bench/sensor-000001")
        turns, marks = [[request]] * _CONNECTIONS, [[b"200"]] * _CONNECTIONS
        pace = Pace(self._seconds, self._seconds / 5)
        told = self._generator.run(Read(Place("127.0.0.1", self._app_port), turns, marks, pace))
        if told.refusal:
            raise Unavailable(f"baseline B1: {told.refusal}")
        return told.done / told.seconds

    def _events_per_s(self) -> float:
        command = [sys.executable, "-m", "flux_bench.bare_loop", str(self._seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout)

    async def _publishes_per_s(self) -> float:
        server = self._log()
        client = await connect(server.access, "bench")
        try:
            stream = client.jetstream(timeout=_OPEN_S)
            await stream.add_stream(
                StreamConfig(name="BENCH", subjects=["bench"], storage=StorageType.FILE, allow_direct=True)
            )
            published = 0
            started = time.perf_counter()
            while (passed := time.perf_counter() - started) < self._seconds:
                await stream.publish("bench", _MESSAGE)
                published += 1
            return published / passed
        finally:
            await client.close()

    def _log(self) -> NatsServer:
        if self._nats is None:
            self._folder = DataFolder(Path(tempfile.mkdtemp(prefix="flux-bench-")))
            self._folder.open()
            self._nats = NatsServer(self._folder, dict(os.environ))
            self._nats.start()
            host, _, port = self._nats.access.url.rpartition("//")[2].rpartition(":")
            wait_for_port(host, int(port))
        return self._nats

    def close(self) -> None:
        """End what was started."""
        if self._app is not None:
            self._app.terminate()
            self._app.wait()
        if self._nats is not None:
            self._nats.stop()
        if self._folder is not None:
            self._folder.close()
            shutil.rmtree(self._folder.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for_port(host: str, port: int) -> None:
    """Return when somebody listens."""
    deadline = time.monotonic() + _OPEN_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            time.sleep(0.01)
    raise Unavailable(f"nothing listens on {host}:{port} after {_OPEN_S:.0f} s")
