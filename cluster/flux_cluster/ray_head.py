"""The local Ray: a head of its own for this Flux, on free ports, with a token of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import psutil

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.native.joining import TOKEN_FILE, driver_environment
from flux_cluster.data_folder import DataFolder, write_secret
from flux_cluster.ports import free_ports
from flux_cluster.processes import RUN_ID, lives, of_run

_HOST: Final = "127.0.0.1"
_OBJECT_STORE_BYTES: Final = 80_000_000  # Flux passes kilobytes; Ray's least is 75 MB
_VITAL: Final = frozenset({"gcs_server", "raylet"})
_START_S: Final = 60.0


class RayHead:
    """One Ray head node and everything below it."""

    def __init__(self, folder: DataFolder, environment: dict[str, str]) -> None:
        # Ray makes Unix sockets below its folder, whose paths must be short: not in the data folder. It opens
        # its folder to everybody (0777), so that stands in one which only its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="flux-ray-"))
        self._log = folder.logs / "ray.log"
        self._token = folder.root / TOKEN_FILE
        write_secret(self._token, secrets.token_hex(32))
        self.environment = environment | ray_environment(self._token)
        self._ports = free_ports(6)
        self.address = f"{_HOST}:{self._ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._vital: list[psutil.Process] = []

    def begin(self) -> None:
        """Begin to start; `wait` tells when it is done."""
        gcs, client, agent, agent_grpc, metrics, dashboard = self._ports
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--node-ip-address={_HOST}"),
            *(
                f"--port={gcs}",
                f"--ray-client-server-port={client}",
                f"--dashboard-agent-listen-port={agent}",
            ),
            *(f"--dashboard-agent-grpc-port={agent_grpc}", f"--metrics-export-port={metrics}"),
            *(f"--dashboard-port={dashboard}", "--include-dashboard=false", "--no-monitor"),
            # Two Rays on one machine would else give the same ports to their workers, from 10002 on.
            *("--min-worker-port=0", "--max-worker-port=0"),
            *("--include-log-monitor=false", "--disable-usage-stats", f"--temp-dir={self.folder / 'ray'}"),
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when Ray takes connections.

        Raises:
            Unavailable: it did not start.
        """
        try:
            code = self._process.wait(_START_S) if self._process is not None else -1
        except subprocess.TimeoutExpired:
            code = -1
        found = [process for process in of_run(self.environment[RUN_ID]) if _name(process) in _VITAL]
        self._vital = found
        if code != 0 or {_name(process) for process in found} != _VITAL:
            raise Unavailable(f"Ray did not start; its own words are in {self._log}")

    @property
    def lives(self) -> bool:
        """Whether the processes that everything in Ray hangs on run."""
        return bool(self._vital) and all(map(lives, self._vital))

    def forget(self) -> None:
        """Remove Ray's folder and token, after its processes ended."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._token.unlink(missing_ok=True)


def ray_environment(token: Path | None) -> dict[str, str]:
    """Return the variables that Ray's processes get."""
    variables = {
        "RAY_worker_niceness": "0",  # workers are servers here, not batch jobs: Ray would give 15
        # A page of a list travels in the answer itself. By way of the object store (Ray: from 100 KiB on) it
        # would take 110 instead of 90 ms per 32 MB, and leave 50 MB of shared memory in door and shard.
        "RAY_max_direct_call_object_size": str(2 * limits.page_bytes),
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # Ray's process titles must not overwrite the environment that marks our run
    }
    return variables | driver_environment(token)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
