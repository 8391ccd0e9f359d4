"""Three nats-servers on this machine, by the configuration that the Kubernetes manifests have."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from flux_actors.log.connection import NatsAccess
from flux_cluster.chaos.nats_servers import NatsServers
from tests.certificates import Pair

PASSWORD: Final = "made-up-password"
CONFIG: Final = Path(__file__).parents[1] / "cluster" / "deploy" / "kubernetes" / "nats.conf"


class NatsCluster(NatsServers):
    """Three servers with TLS, each other's and the client's."""

    def __init__(self, folder: Path, pair: Pair, mark: dict[str, str]) -> None:
        self._pair = pair
        super().__init__(folder, mark | {"PATH": os.environ["PATH"]})

    @property
    def settings(self) -> dict[str, str]:
        """How a Flux is told of them, as variables."""
        access = self.access
        files = {"CA": access.ca_file, "CERT": access.certificate_file, "KEY": access.key_file}
        told = {"URL": access.url, "USER": "flux", "PASSWORD": PASSWORD, **files}
        return {f"FLUX_NATS_{name}": value for name, value in told.items() if value is not None}

    def start_all(self) -> None:
        """Start all three and return when JetStream answers."""
        asyncio.run(self.start())

    def _access(self) -> NatsAccess:
        urls = ",".join(f"tls://127.0.0.1:{port}" for port in self.clients)
        files = str(self._pair.certificate), str(self._pair.certificate), str(self._pair.key)
        return NatsAccess(urls, "flux", PASSWORD, None, *files)

    def _variables(self, number: int) -> dict[str, str]:
        return {"POD_NAME": f"flux-nats-{number}", "NATS_PASSWORD": PASSWORD}

    def _config(self, number: int) -> str:
        text = CONFIG.read_text()
        here = "host: 127.0.0.1"
        folder = self.folder(number)
        changes = {
            "port: 4222": f"{here}\nport: {self.clients[number]}",
            "http_port: 8222": f"http: 127.0.0.1:{self.monitors[number]}",
            "port: 6222": f"{here}\n  port: {self.peers[number]}",
            "store_dir: /data": f"store_dir: {folder}",
            "/run/nats": str(folder),
            "/etc/nats/tls/tls.crt": str(self._pair.certificate),
            "/etc/nats/tls/tls.key": str(self._pair.key),
            "/etc/nats/tls/ca.crt": str(self._pair.certificate),
        }
        for other, port in enumerate(self.peers):
            changes[f"flux-nats-{other}.flux-nats:6222"] = f"127.0.0.1:{port}"
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        return text
