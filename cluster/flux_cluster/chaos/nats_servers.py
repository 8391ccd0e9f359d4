"""Three nats-servers on this machine that keep three copies of everything."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import nats.errors
import nats.js.errors

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_cluster.chaos.waiting import until
from flux_cluster.data_folder import write_secret
from flux_cluster.nats_server import binary
from flux_cluster.ports import free_ports

SERVERS: Final = 3
_USER: Final = "flux"
_NAME: Final = "nats-"
_START_S: Final = 30.0
_ASK_S: Final = 2.0
_END_S: Final = 10.0
_CONFIG: Final = """\
server_name: {name}
host: 127.0.0.1
port: {port}
http: "127.0.0.1:{monitor}"
max_payload: {max_payload}
authorization {{ user: {user}, password: "{password}" }}
jetstream {{ store_dir: "{store}", {store_max}sync_interval: always }}
cluster {{ name: flux, host: 127.0.0.1, port: {peer}, no_advertise: true, routes: [{routes}] }}
# The client library does not know the second form of acknowledgement subjects.
feature_flags {{ js_ack_fc_v2: false }}
"""


class NatsServers:
    """The servers, by their numbers; each has a folder of its own with its store and its log."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        ports = free_ports(3 * SERVERS)
        self.clients, self.peers, self.monitors = ports[:3], ports[3:6], ports[6:]
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * SERVERS
        self.store_bytes_max: list[int | None] = [None] * SERVERS  # counts when a server is started
        self._folder = folder
        self._environment = dict(environment)
        self.access = self._access()

    def folder(self, number: int) -> Path:
        """Return where a server keeps what it has."""
        return self._folder / f"nats-{number}"

    async def start(self) -> None:
        """Start all and return when JetStream has a leader.

        Raises:
            Unavailable: they do not come up.
        """
        for number in range(SERVERS):
            self.start_one(number)
        await self.await_leader()

    def start_one(
        self, number: int, start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
    ) -> None:
        """Start one of them, by `start`; it catches up with the others by itself."""
        folder = self.folder(number)
        folder.mkdir(exist_ok=True)
        config = folder / "nats.conf"
        write_secret(config, self._config(number))
        self.processes[number] = start(
            [binary(), "-c", str(config), "-l", str(folder / "log")],
            env=self._environment | self._variables(number),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def await_leader(self, timeout_s: float = _START_S) -> None:
        """Return when JetStream answers.

        Raises:
            Unavailable: it does not in time.
        """
        await until(lambda: asyncio.run(self._answers()), timeout_s, "the nats-servers to choose a leader")

    @staticmethod
    def number_of(name: str) -> int:
        """Return the number of the server that has a name."""
        return int(name.removeprefix(_NAME))

    def lives(self, number: int) -> bool:
        """Whether the process of a server runs."""
        process = self.processes[number]
        return process is not None and process.poll() is None

    def store(self, number: int) -> Path:
        """Return the folder in which JetStream keeps what a server has."""
        return self.folder(number) / "store"

    def kill(self, number: int) -> None:
        """`kill -9` of one of them."""
        process, self.processes[number] = self.processes[number], None
        if process is not None:
            process.kill()
            process.wait(_END_S)

    def stop(self) -> None:
        """End them all."""
        for number in range(SERVERS):
            self.kill(number)

    def _access(self) -> NatsAccess:
        urls = ",".join(f"nats://127.0.0.1:{port}" for port in self.clients)
        return NatsAccess(urls, _USER, secrets.token_urlsafe(32))

    def _variables(self, number: int) -> dict[str, str]:  # noqa: ARG002 - for those whose config asks for some
        return {}

    def _config(self, number: int) -> str:
        store_max = self.store_bytes_max[number]
        return _CONFIG.format(
            name=f"{_NAME}{number}",
            port=self.clients[number],
            monitor=self.monitors[number],
            peer=self.peers[number],
            routes=", ".join(f'"nats://127.0.0.1:{port}"' for port in self.peers),
            max_payload=limits.nats_payload_bytes_max,
            user=self.access.user,
            password=self.access.password,
            store=self.store(number),
            store_max="" if store_max is None else f"max_file: {store_max}, ",
        )

    async def _answers(self) -> bool:
        try:
            client = await connect(self.access, "chaos", _ASK_S)
        except Unavailable:
            return False
        try:
            await client.jetstream(timeout=_ASK_S).account_info()
        except (nats.errors.Error, nats.js.errors.APIError, TimeoutError):
            return False  # no leader yet
        else:
            return True
        finally:
            await client.close()
