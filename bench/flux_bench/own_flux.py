"""A Flux that the benchmark starts itself: `flux up` on a folder and ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import psutil

from flux_actors.errors import Unavailable
from flux_bench.metering import parts
from flux_bench.server import Server, wait_until
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.ports import free_ports

_START_S: Final = 150.0
_STOP_S: Final = 120.0
_POLL_S: Final = 0.01
_FIELD: Final = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|\S+)")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class OwnFlux:
    """`flux up` in a process of its own; `options` are those of the command.

    The namespace `spread`, if given, is spread over all partitions instead of belonging to one. With an
    `admin_token` it asks tenants for tokens.
    """

    def __init__(self, *options: str, spread: str = "", admin_token: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flux-bench-"))
        port, self._serve_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = ["up", "--port", str(port), "--data", str(self.folder / "data"), *options]
        self._settings = {"FLUX_SPREAD": spread} if spread else {}
        if admin_token:
            self._settings |= {"FLUX_AUTH_ENABLED": "true", "FLUX_ADMIN_TOKEN": admin_token}
        self._data = DataFolder(self.folder / "data")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start; return the seconds until a read is answered with 200."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
        environment = plain | self._settings | {"FLUX_SERVE_PORT": str(self._serve_port), "NO_COLOR": "1"}
        started = time.perf_counter()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flux_actors", *self._arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        server = Server(self.url)
        try:
            while not server.answers():
                self._check(started)
                time.sleep(_POLL_S)
        finally:
            server.close()
        seconds = time.perf_counter() - started
        wait_until(lambda: self._is_ready(started), _START_S, "Flux to be ready")
        return seconds

    def stop(self) -> None:
        """Stop as Ctrl-C does; snapshots are left."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise Unavailable(f"Flux has not stopped within {_STOP_S:.0f} s") from None
        self._process = None

    def close(self) -> None:
        """Stop and remove all that it wrote."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def forget_snapshots(self) -> None:
        """Remove the snapshots, so that the next start replays the log."""
        shutil.rmtree(self.folder / "data" / "snapshots", ignore_errors=True)

    @property
    def data(self) -> Path:
        """Its data folder, by which drivers find it."""
        return self._data.root

    @property
    def run(self) -> Run:
        """The run file."""
        run = self._data.run()
        if run is None:
            raise Unavailable("Flux does not run")
        return run

    @property
    def door(self) -> psutil.Process:
        """The first door's process."""
        return self.part("door")

    def part(self, name: str) -> psutil.Process:
        """Return the largest process of a part."""
        found = parts(self.run.run_id).get(name)
        if not found:
            raise Unavailable(f"this Flux has no process that is its {name}")
        return max(found, key=lambda process: process.memory_info().rss)

    def told(self, event: str) -> list[dict[str, str]]:
        """Return what the shards have logged under the name `event`, oldest first, field by field."""
        return [
            facts
            for log in sorted(Path(self.run.ray_folder).glob("ray/session_*/logs/worker*"))
            for facts in facts_of(log.read_text(errors="replace"), event)
        ]

    @property
    def _output(self) -> Path:
        return self.folder / "flux.out"

    def _is_ready(self, started: float) -> bool:
        self._check(started)
        run = self._data.run()
        return run is not None and run.ready

    def _check(self, started: float) -> None:
        """Fail when it has ended or takes too long."""
        ended = self._process is None or self._process.poll() is not None
        if ended or time.perf_counter() - started > _START_S:
            lines = self._output.read_text(errors="replace").strip().splitlines()
            raise Unavailable(f"Flux did not start: {lines[-1] if lines else 'it said nothing'}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def facts_of(log: str, event: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each line of a log that tells of `event`."""
    for line in _COLOUR.sub("", log).splitlines():
        if event in line:
            yield {name: value.strip("'\"") for name, value in _FIELD.findall(line)}
