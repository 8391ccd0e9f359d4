"""Three nats-servers on this machine, by the configuration that the Kubernetes manifests have."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Final

from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_cluster.nats_server import binary
from flux_cluster.ports import free_ports
from tests.certificates import Pair
from tests.conftest import wait_for

PASSWORD: Final = "made-up-password"
CONFIG: Final = Path(__file__).parents[1] / "cluster" / "deploy" / "kubernetes" / "nats.conf"
START_S: Final = 30.0


class NatsCluster:
    """Three servers with TLS, each other's and the client's."""

    def __init__(self, folder: Path, pair: Pair, mark: dict[str, str]) -> None:
        ports = free_ports(9)
        self._folder, self._pair, self._mark = folder, pair, mark
        self._clients, self._peers, self._monitors = ports[:3], ports[3:6], ports[6:]
        self.processes: list[subprocess.Popen[bytes] | None] = [None, None, None]
        urls = ",".join(f"tls://127.0.0.1:{port}" for port in self._clients)
        files = str(pair.certificate), str(pair.certificate), str(pair.key)
        self.access = NatsAccess(urls, "flux", PASSWORD, None, *files)

    @property
    def settings(self) -> dict[str, str]:
        """How a Flux is told of them, as variables."""
        access = self.access
        files = {"CA": access.ca_file, "CERT": access.certificate_file, "KEY": access.key_file}
        told = {"URL": access.url, "USER": "flux", "PASSWORD": PASSWORD, **files}
        return {f"FLUX_NATS_{name}": value for name, value in told.items() if value is not None}

    def start(self) -> None:
        """Start all three and return when JetStream answers."""
        for number in range(3):
            self.start_one(number)
        wait_for(self._answers, START_S, "a NATS cluster with a leader")

    def start_one(self, number: int) -> None:
        """Start one of them."""
        folder = self._folder / f"nats-{number}"
        folder.mkdir(exist_ok=True)
        config = folder / "nats.conf"
        config.write_text(self._config(number, folder))
        environment = self._mark | {
            "PATH": os.environ["PATH"],
            "POD_NAME": f"flux-nats-{number}",
            "NATS_PASSWORD": PASSWORD,
        }
        self.processes[number] = subprocess.Popen(
            [binary(), "-c", str(config), "-l", str(folder / "log")], env=environment
        )

    def kill(self, number: int) -> None:
        """`kill -9` of one of them."""
        process = self.processes[number]
        if process is not None:
            process.kill()
            process.wait(10)
            self.processes[number] = None

    def stop(self) -> None:
        """End them all."""
        for number in range(3):
            self.kill(number)

    def _config(self, number: int, folder: Path) -> str:
        text = CONFIG.read_text()
        here = "host: 127.0.0.1"
        changes = {
            "port: 4222": f"{here}\nport: {self._clients[number]}",
            "http_port: 8222": f"http: 127.0.0.1:{self._monitors[number]}",
            "port: 6222": f"{here}\n  port: {self._peers[number]}",
            "store_dir: /data": f"store_dir: {folder}",
            "/run/nats": str(folder),
            "/etc/nats/tls/tls.crt": str(self._pair.certificate),
            "/etc/nats/tls/tls.key": str(self._pair.key),
            "/etc/nats/tls/ca.crt": str(self._pair.certificate),
        }
        for other, port in enumerate(self._peers):
            changes[f"flux-nats-{other}.flux-nats:6222"] = f"127.0.0.1:{port}"
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def _answers(self) -> bool:
        async def ask() -> bool:
            try:
                client = await connect(self.access, "test", 2.0)
            except Unavailable:
                return False
            try:
                info = await client.jetstream(timeout=2.0).account_info()
                return info is not None
            except Exception:  # noqa: BLE001 - no leader yet, in whatever words
                return False
            finally:
                await client.close()

        return asyncio.run(ask())
