"""Flux on a NATS server and a Ray cluster that somebody else runs and goes on using."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from flux_cluster.nats_server import binary
from flux_cluster.ports import free_ports
from flux_cluster.processes import lives, of_run
from tests.busy import busy

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
PASSWORD = "a password that nobody may see"
NATS_CONFIG = """
host: 127.0.0.1
port: %d
max_payload: 16777216
authorization { user: agent, password: "%s" }
jetstream { store_dir: "%s", sync_interval: always }
feature_flags { js_ack_fc_v2: false }
"""


@dataclass
class Elsewhere:
    """A NATS server and a Ray head that are not Flux's."""

    nats_url: str
    ray_address: str
    mark: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "RAY_ADDRESS": self.ray_address,
            "RAY_AUTH_MODE": "disabled",  # whatever token this user's home may hold
            "FLUX_NATS_USER": "agent",
            "FLUX_NATS_PASSWORD": PASSWORD,
        }

    def processes(self, title: str) -> list[psutil.Process]:
        return [process for process in of_run(self.mark) if title in _title(process)]


def _title(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()[:1])
    return ""


def _names(mark: str) -> set[str]:
    names = set()
    for process in of_run(mark):
        with suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


@pytest.fixture
def elsewhere(tmp_path, eventually) -> Iterator[Elsewhere]:
    mark = uuid.uuid4().hex
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    environment = plain | {"FLUX_RUN_ID": mark, "SPT_NOENV": "1", "RAY_AUTH_MODE": "disabled"}
    nats_port, *ray_ports = free_ports(7)
    config = tmp_path / "nats.conf"
    config.write_text(NATS_CONFIG % (nats_port, PASSWORD, tmp_path / "store"))
    nats = subprocess.Popen([binary(), "-c", str(config), "-l", str(tmp_path / "nats.log")], env=environment)
    folder = Path(tempfile.mkdtemp(prefix="ray-elsewhere-"))
    names = ("port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
    names += ("metrics-export-port", "dashboard-port")
    subprocess.run(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--node-ip-address=127.0.0.1"),
            *(f"--{name}={port}" for name, port in zip(names, ray_ports, strict=True)),
            *("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"),
            "--object-store-memory=80000000",
        ],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    try:
        yield Elsewhere(f"nats://127.0.0.1:{nats_port}", f"127.0.0.1:{ray_ports[0]}", mark)
    finally:
        for process in of_run(mark):
            with suppress(psutil.NoSuchProcess):  # Ray ends some of its own when others die
                process.kill()
        nats.wait(10)
        eventually(lambda: not any(map(lives, of_run(mark))), 20)
        shutil.rmtree(folder)


def test_flux_lives_on_them_survives_its_supervisor_and_leaves_them_as_they_were(
    elsewhere, make_flux, eventually
):
    flux = make_flux(["--nats-url", elsewhere.nats_url], elsewhere.environment)
    flux.start()
    publish(flux.url, 1)
    assert flux.run.nats_url == elsewhere.nats_url
    assert flux.run.ray_address == elsewhere.ray_address
    assert not {"raylet", "gcs_server", "nats-server"} & _names(flux.run.run_id)
    assert elsewhere.processes("ray::ShardProcess")

    os.kill(flux.process.pid, signal.SIGKILL)
    flux.process.wait(10)
    publish(flux.url, 2)  # what runs on the cluster goes on without its supervisor
    flux.start()
    assert state(flux.url) == {"n": 2, "n1": True, "n2": True}

    stranger = make_flux(["--nats-url", elsewhere.nats_url], elsewhere.environment)
    refused = subprocess.run(
        [sys.executable, "-m", "flux_actors", "up", "--port", str(stranger.port), *stranger.options],
        env=os.environ | stranger.environment | {"FLUX_DATA": str(stranger.data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1
    assert f"already runs the Flux of {flux.data}" in refused.stderr + refused.stdout
    assert state(flux.url)["n"] == 2

    flux.stop()
    for title in ("ray::ShardProcess", "ray::NamespaceRouter", "ray::ServeController"):
        eventually(lambda title=title: not elsewhere.processes(title), 5 * busy(), f"the end of {title}")
    assert {"raylet", "gcs_server", "nats-server"} <= _names(elsewhere.mark)
    flux.start()
    assert state(flux.url) == {"n": 2, "n1": True, "n2": True}
    flux.stop()
    texts = [path.read_text(errors="replace") for path in [*(flux.data / "logs").iterdir(), flux.output]]
    assert not any(PASSWORD in text for text in texts)


def test_a_login_in_the_url_is_refused_and_not_repeated(make_flux):
    flux = make_flux()
    result = subprocess.run(
        [sys.executable, "-m", "flux_actors", "up", "--nats-url", f"nats://agent:{PASSWORD}@127.0.0.1:1"],
        env=os.environ | {"FLUX_DATA": str(flux.data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "FLUX_NATS_PASSWORD" in result.stderr
    assert PASSWORD not in result.stderr + result.stdout


def publish(url: str, number: int) -> None:
    properties = {"n": number, f"n{number}": True}
    body = {"stream": "a", "source": "s", "payload": {"entity_id": "n/e", "properties": properties}}
    httpx.post(f"{url}/api/events?wait=applied", json=body, timeout=10).raise_for_status()


def state(url: str) -> dict[str, object]:
    return httpx.get(f"{url}/api/state/entities/n/e", timeout=10).raise_for_status().json()["properties"]
