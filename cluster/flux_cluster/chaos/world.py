"""A world of its own to break: three Ray nodes with a door each, three nats-servers, and a Flux on them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from flux_actors.errors import Unavailable
from flux_actors.reporting import Say
from flux_cluster.chaos.nats_servers import NatsServers
from flux_cluster.chaos.ray_nodes import RayNodes
from flux_cluster.chaos.relay import Relay
from flux_cluster.chaos.small_disk import unmount_below
from flux_cluster.chaos.waiting import until
from flux_cluster.data_folder import write_secret
from flux_cluster.ports import free_ports
from flux_cluster.processes import RUN_ID, lives, of_run
from flux_cluster.ray_head import ray_environment

NODES: Final = 3
PARTITIONS: Final = 4
SHARDS: Final = 2
SHARD: Final = "ray::ShardProcess"
ROUTER: Final = "ray::NamespaceRouter"
DOOR: Final = "ray::ServeReplica"
_OUTSIDE: Final = ("FLUX_", "RAY_", "CHAOS_")
_START_S: Final = 180.0
_REST_S: Final = 120.0
_ASK_S: Final = 5.0
_END_S: Final = 15.0
_POLL_S: Final = 0.05
_WORDS: Final = 600  # of what a program said, its last


class World:
    """Starts, tells how it is, and ends with all that is in it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.mark = uuid.uuid4().hex
        # Ray makes Unix sockets below it, whose paths must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="flux-chaos-"))
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = _clean_environment() | {RUN_ID: self.mark}
        self.nats = NatsServers(self.folder, self.environment)
        self.relays = [Relay(port) for port in self.nats.clients]  # Flux knows of no other way to the servers
        self.ray = RayNodes(self.folder, self._ray_environment())
        self._played = Counter[str]()

    async def start(self) -> None:
        """Start everything and return when all doors and partitions are ready.

        Raises:
            Unavailable: a part does not come up.
        """
        self._say("starting three nats-servers and three Ray nodes")
        for relay in self.relays:
            relay.start()
        await asyncio.gather(self.nats.start(), self.ray.start(NODES))
        self._say("having Ray Serve deploy Flux on them")
        self._write_settings()
        code, words = await self.run("flux_cluster.chaos.deploying")
        if code != 0:
            raise Unavailable(f"Ray Serve did not deploy Flux: {words.strip()[-_WORDS:]}")
        await self.rest(_START_S)

    async def stop(self) -> None:
        """End everything by pid, and remove its folder; what a fault still does in a thread is done first."""
        await asyncio.get_running_loop().shutdown_default_executor()
        self.end()

    def end(self) -> None:
        """End everything, now, healed or not."""
        self.nats.stop()
        deadline = time.monotonic() + _END_S
        while (left := of_run(self.mark)) and time.monotonic() < deadline:
            for process in left:  # and again those that a raylet has started meanwhile
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_POLL_S)
        for relay in self.relays:
            relay.stop()
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def rest(self, timeout_s: float = _REST_S) -> None:
        """Return when everything is as it was before anything went wrong.

        Raises:
            Unavailable: it does not become so in time.
        """
        await self.nats.await_leader(timeout_s)
        await until(self._is_at_rest, timeout_s, "all doors and partitions to be ready")

    async def run(self, module: str, *arguments: str, timeout_s: float = _START_S) -> tuple[int, str]:
        """Run a program in the world's folder, as an operator on one of its nodes; return what came of it.

        Raises:
            Unavailable: it does not end in time.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env=self._ray_environment() | {"RAY_ADDRESS": self.ray.address},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Unavailable(f"{module} did not end within {timeout_s:.0f} s") from None
        return process.returncode or 0, output.decode(errors="replace")

    def fresh_prefix(self, play: str) -> str:
        """Return what the namespaces of a play begin with.

        In another world the same play has the same; only what is played twice in one world has others then.
        """
        told = f"{play} {self._played[play]}"
        self._played[play] += 1
        return f"c{hashlib.blake2b(told.encode(), digest_size=4).hexdigest()}-"

    def processes(self, title: str) -> list[psutil.Process]:
        """Return the living processes whose title begins so, in the order of their pids."""
        found = []
        for process in of_run(self.mark):
            with suppress(psutil.Error):
                if lives(process) and " ".join(process.cmdline()[:1]).startswith(title):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def status(self) -> dict[str, Any] | None:
        """Return what a door says of everything, `None` while none answers."""
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{self.url}/api/status", timeout=_ASK_S, trust_env=False)
            told: dict[str, Any] = answer.json()
            return told if answer.is_success else None
        return None

    def _is_at_rest(self) -> bool:
        told = self.status()
        return (
            told is not None
            and told["doors"] == len(self.ray.nodes)
            and len(told["partitions"]) == PARTITIONS
            and all(part["phase"] == "running" for part in told["partitions"])
        )

    def _ray_environment(self) -> dict[str, str]:
        return self.environment | ray_environment(None) | {"RAY_AUTH_MODE": "disabled"}

    def _write_settings(self) -> None:
        password = self.folder / "nats-password"
        write_secret(password, self.nats.access.password or "")
        told = {
            "port": self.port,
            "data": str(self.folder / "data"),
            "nats_url": [f"nats://127.0.0.1:{relay.port}" for relay in self.relays],
            "nats_user": self.nats.access.user,
            "nats_password_file": str(password),
            "log_replicas": 3,
            "partitions": PARTITIONS,
            "shards": SHARDS,
            "door_resource": True,
        }
        (self.folder / "flux.yaml").write_text(yaml.safe_dump(told))


def _clean_environment() -> dict[str, str]:
    """Return the environment without settings of a Flux or a Ray outside the world."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OUTSIDE)}
