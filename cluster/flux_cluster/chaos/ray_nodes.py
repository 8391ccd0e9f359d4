"""Nodes of a Ray cluster on this machine: the head and others, each as `ray start` makes it.

Each node's processes carry its number in their environment, as all of the world carry its mark: raylets
hand on what they were started with. So a node can be lost whole, its workers with it, though Ray puts
processes into the background. Ray's head keeps what it knows in RocksDB (without that its end is the
cluster's), so it can die and come back.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from flux_actors.errors import Unavailable
from flux_api.door_count import DOOR_RESOURCE
from flux_cluster.chaos.clocks import SkewedClock
from flux_cluster.chaos.waiting import until
from flux_cluster.ports import free_ports
from flux_cluster.processes import lives

NODE: Final = "CHAOS_NODE"
_HOST: Final = "127.0.0.1"
_OBJECT_STORE_BYTES: Final = 80_000_000  # Flux passes kilobytes; Ray's least is 75 MB
_START_S: Final = 90.0
_END_S: Final = 15.0
_TRIES: Final = 2
_GCS: Final = "gcs_server"
_WORDS: Final = 600  # of what Ray said, its last


@dataclass(frozen=True)
class RayNode:
    """One of them."""

    number: int
    resources: Mapping[str, float]
    clock: SkewedClock

    @property
    def is_head(self) -> bool:
        """Whether Ray's head is on it."""
        return self.number == 0


def node_of(pid: int) -> str | None:
    """Return the number of the node that a process is on, `None` if it is gone or on none."""
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(NODE)
    return None


class RayNodes:
    """The nodes that live, by their numbers; the head is number 0."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        gcs, client, agent, agent_grpc, metrics, dashboard = free_ports(6)
        self.address = f"{_HOST}:{gcs}"
        self._head_ports = {
            "port": gcs,
            "ray-client-server-port": client,
            "dashboard-agent-listen-port": agent,
            "dashboard-agent-grpc-port": agent_grpc,
            "metrics-export-port": metrics,
            "dashboard-port": dashboard,
        }
        self._environment = dict(environment) | {
            "RAY_gcs_storage": "rocksdb",
            "RAY_gcs_storage_path": str(folder / "gcs"),
            "RAY_health_check_period_ms": "1000",  # a node that was lost is given up after five
            "RAY_enable_worker_prestart": "0",  # workers for tasks, of which Flux has none
            "RAY_kill_worker_timeout_milliseconds": "60000",  # so that what stands still can wake up again
        }
        self.nodes: dict[int, RayNode] = {}
        self._made = 0
        self._choosing = asyncio.Lock()  # nodes that start at the same moment would take the same sockets
        self._gcs: tuple[list[str], dict[str, str]] | None = None

    async def start(self, count: int) -> None:
        """Start the head, and beside it so many nodes in all, each with room for a door.

        Raises:
            Unavailable: one does not come up.
        """
        (self._folder / "gcs").mkdir(exist_ok=True)
        await self.add()
        await asyncio.gather(*(self.add() for _ in range(count - 1)))

    async def add(self, environment: Mapping[str, str] | None = None) -> RayNode:
        """Start another node; `environment` is what its processes get beside the others'.

        Raises:
            Unavailable: it does not come up.
        """
        clock = SkewedClock(self._folder / f"clock-{self._made}")
        node = RayNode(self._made, {DOOR_RESOURCE: 1}, clock)
        self._made += 1
        await self._start(node, environment)
        return node

    async def start_again(self, node: RayNode) -> None:
        """Start the head again that was lost, where it was and with what it had stored.

        Raises:
            Unavailable: it does not come up.
        """
        await self._start(node, None)

    async def _start(self, node: RayNode, environment: Mapping[str, str] | None) -> None:
        """Start a node, and again if it gives up: its parts wait for each other, for 15 s only."""
        for _ in range(_TRIES):
            if node.is_head:
                # By it, and by what the other nodes say, Ray would take a head for running that is not.
                (self._folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
            if await self._comes_up(node, environment):
                self.nodes[node.number] = node
                return
            await self._end(node)
        words = " ".join(self._log(node).read_text(errors="replace").split())[-_WORDS:]
        raise Unavailable(f"Ray's node {node.number} did not start: {words}")

    async def _comes_up(self, node: RayNode, environment: Mapping[str, str] | None) -> bool:
        told = self._environment | dict(environment or {}) | {NODE: str(node.number)}
        async with self._choosing:
            sockets = self._sockets()
            with self._log(node).open("ab") as out:
                process = await asyncio.create_subprocess_exec(
                    *self._command(node),
                    env=node.clock.environment(told),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )
            ended = asyncio.create_task(process.wait())
            await until(lambda: ended.done() or self._sockets() != sockets, _START_S, "a raylet to begin")
        try:
            code = await asyncio.wait_for(ended, _START_S)
        except TimeoutError:
            process.kill()
            code = -1
        return code == 0

    async def kill(self, node: RayNode) -> None:
        """Lose a node: `kill -9` of its raylet and of all of its workers at once."""
        del self.nodes[node.number]
        await self._end(node)

    async def _end(self, node: RayNode) -> None:
        for victim in self.processes_of(node):
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        await until(
            lambda: not self.processes_of(node), _END_S, f"the processes of node {node.number} to end"
        )

    async def kill_head_process(self) -> None:
        """`kill -9` of the process of Ray's head that knows everything (GCS); its node goes on without it."""
        process = self._found_gcs()
        self._gcs = process.cmdline(), process.environ()
        process.kill()
        await until(lambda: not lives(process), _END_S, "Ray's head to end")

    def start_head_process(self) -> None:
        """Start that process again, as a service manager does."""
        if self._gcs is None:
            return
        (command, environment), self._gcs = self._gcs, None
        with (self._folder / "gcs.log").open("ab") as out:
            subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def processes_of(self, node: RayNode) -> list[psutil.Process]:
        """Return the living processes of a node."""
        mark = self._environment["FLUX_RUN_ID"], str(node.number)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                told = process.environ()
                if (told.get("FLUX_RUN_ID"), told.get(NODE)) == mark and lives(process):
                    found.append(process)
        return found

    def _log(self, node: RayNode) -> Path:
        return self._folder / f"ray-node-{node.number}.log"

    def _sockets(self) -> set[Path]:
        """Return what the nodes have for their workers to connect to."""
        return set(self._folder.glob("ray/session_*/sockets/*"))

    def _found_gcs(self) -> psutil.Process:
        for process in self.processes_of(self.nodes[0]):
            if process.name() == _GCS:
                return process
        raise Unavailable("Ray's head is not running")

    def _command(self, node: RayNode) -> list[str]:
        if node.is_head:
            ports = self._head_ports
            place = [
                "--head",
                "--include-dashboard=false",
                "--no-monitor",
                f"--temp-dir={self._folder / 'ray'}",
            ]
        else:
            agent, agent_grpc, metrics = free_ports(3)
            ports = {
                "dashboard-agent-listen-port": agent,
                "dashboard-agent-grpc-port": agent_grpc,
                "metrics-export-port": metrics,
            }
            place = [f"--address={self.address}"]
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", *place, f"--node-ip-address={_HOST}"),
            *(f"--{name}={port}" for name, port in ports.items()),
            *("--min-worker-port=0", "--max-worker-port=0", "--num-cpus=1", "--include-log-monitor=false"),
            *(f"--object-store-memory={_OBJECT_STORE_BYTES}", "--disable-usage-stats"),
            f"--resources={json.dumps(node.resources)}",
        ]
