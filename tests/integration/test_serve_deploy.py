"""Flux where nobody runs `flux up`: Serve deploys it, or a Ray job does, on three NATS servers with TLS."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from flux_cluster.ports import free_ports
from flux_cluster.processes import of_run
from tests.certificates import make_pair
from tests.conftest import clean_environment
from tests.nats_cluster import PASSWORD, NatsCluster

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(400)]
SECOND_NODE = Path(__file__).with_name("second_node.py")
ONE_DOOR = json.dumps({"flux-door": 1})
DEPLOY_S = 120.0
NODE_S = 60.0


class Cluster:
    """A Ray head without doors, and NATS on three servers; each node knows the password of NATS."""

    def __init__(self, folder: Path, nats: NatsCluster | None = None) -> None:
        self.folder = folder
        self._shares_nats = nats is not None
        self.mark = uuid.uuid4().hex
        plain = clean_environment() | {
            "FLUX_RUN_ID": self.mark,
            "SPT_NOENV": "1",
            "RAY_AUTH_MODE": "disabled",
        }
        self.nats = nats or NatsCluster(folder, make_pair(folder), {"FLUX_RUN_ID": self.mark})
        self.port, self.serve_port, gcs, client, agent, agent_grpc, metrics, dashboard = free_ports(8)
        self.ray_address, self.dashboard = f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = plain | {"FLUX_NATS_PASSWORD": PASSWORD, "RAY_ADDRESS": self.ray_address}
        self._ports = {
            "port": gcs,
            "ray-client-server-port": client,
            "dashboard-agent-listen-port": agent,
            "dashboard-agent-grpc-port": agent_grpc,
            "metrics-export-port": metrics,
            "dashboard-port": dashboard,
        }
        self._ray = Path(tempfile.mkdtemp(prefix="ray-deploy-"))
        self.nodes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        if not self._shares_nats:
            self.nats.start_all()
        ports = [f"--{name}={port}" for name, port in self._ports.items()]
        head = ["--head", "--node-ip-address=127.0.0.1", "--num-cpus=1", f"--temp-dir={self._ray}"]
        plain = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        self.run("ray.scripts.scripts", "start", *head, *ports, "--object-store-memory=80000000", env=plain)

    def add_node(self, resources: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(SECOND_NODE), resources]
        node = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.nodes.append(node)
        assert node.stdout is not None
        assert "ready" in node.stdout.readline()
        return node

    def end_node(self, node: subprocess.Popen[str]) -> None:
        process = psutil.Process(node.pid)
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                one.kill()  # the node is lost, not drained
        node.wait(20)
        assert node.stdout is not None
        node.stdout.close()
        self.nodes.remove(node)

    def run(self, module: str, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command,
            env=env or self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        for node in list(self.nodes):
            self.end_node(node)
        if not self._shares_nats:
            self.nats.stop()
        for process in of_run(self.mark):
            process.kill()
        psutil.wait_procs(of_run(self.mark), 10)
        shutil.rmtree(self._ray, ignore_errors=True)

    def processes(self, title: str) -> list[psutil.Process]:
        found = []
        for process in of_run(self.mark):
            with suppress(psutil.NoSuchProcess):  # a zombie is one that is gone, too
                if title in " ".join(process.cmdline()[:1]):
                    found.append(process)
        return found

    def deploy(self, **settings: Any) -> None:
        """What an operator does: write flux.yaml, make a Serve config of it, hand it to Serve."""
        self.write_settings(**settings)
        config = self.run("flux_actors", "serve-config")
        assert PASSWORD not in config
        (self.folder / "serve.yaml").write_text(config)
        self.run("ray.serve.scripts", "deploy", "serve.yaml", "--address", self.dashboard)

    def write_settings(self, **settings: Any) -> None:
        access = self.nats.access
        told = {
            "port": self.port,
            "serve_port": self.serve_port,
            "data": str(self.folder / "data"),
            "nats_url": access.servers,
            "nats_user": "flux",
            "log_replicas": 3,
            "partitions": 4,
            "nats_ca": access.ca_file,
            "nats_cert": access.certificate_file,
            "nats_key": access.key_file,
            "door_resource": True,
            **settings,
        }
        (self.folder / "flux.yaml").write_text(yaml.safe_dump(told))

    def status(self) -> dict[str, Any] | None:
        """Return what `flux status --url` shows, `None` while no door answers."""
        try:
            answer = httpx.get(f"{self.url}/api/status", timeout=5)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("deploy"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def publish(url: str, number: int) -> None:
    body = {"stream": "a", "source": "s", "payload": {"entity_id": "n/e", "properties": {f"n{number}": True}}}
    httpx.post(f"{url}/api/events?wait=applied", json=body, timeout=20).raise_for_status()


def state(url: str) -> set[str]:
    """Return the properties; none while the shard is away."""
    answer = httpx.get(f"{url}/api/state/entities/n/e", timeout=20)
    assert answer.status_code in {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}, answer.text
    return set(answer.json()["properties"]) if answer.is_success else set()


def test_serve_deploys_it_by_itself_with_a_door_on_every_node_that_has_one(cluster, eventually) -> None:
    first = cluster.add_node(ONE_DOOR)
    cluster.deploy()
    status = eventually(cluster.status, DEPLOY_S, "a door of the deployment")
    assert (status["doors"], len(status["partitions"])) == (1, 4)
    publish(cluster.url, 1)
    assert {"ray::NamespaceRouter", "ray::ShardProcess"} <= {
        title for title in ("ray::NamespaceRouter", "ray::ShardProcess") if cluster.processes(title)
    }

    second = cluster.add_node(ONE_DOOR)
    eventually(lambda: (cluster.status() or {}).get("doors") == 2, NODE_S, "a door on the node that came")
    cluster.end_node(first)
    eventually(
        lambda: (cluster.status() or {}).get("doors") == 1, NODE_S, "the door of the lost node to be gone"
    )
    eventually(
        lambda: state(cluster.url) == {"n1"}, NODE_S, "the state, though its shard was lost with the node"
    )
    assert second.poll() is None

    routers = [process.pid for process in cluster.processes("ray::NamespaceRouter")]
    cluster.deploy(shards=2)  # another plan: another router, and all that was acknowledged is there

    def two_shards() -> bool:
        facts = cluster.status()
        return facts is not None and len({part["shard"] for part in facts["partitions"]}) == 2

    eventually(two_shards, NODE_S, "two shards")
    assert [process.pid for process in cluster.processes("ray::NamespaceRouter")] != routers
    publish(cluster.url, 2)
    eventually(lambda: state(cluster.url) == {"n1", "n2"}, NODE_S, "what was published before and after")

    cluster.run("ray.serve.scripts", "shutdown", "--yes", "--address", cluster.dashboard)
    for title in ("ray::NamespaceRouter", "ray::ShardProcess", "ray::ServeReplica"):
        eventually(lambda title=title: not cluster.processes(title), NODE_S, f"{title} to be gone")
    assert cluster.processes("ray::") or of_run(cluster.mark)  # the cluster itself goes on


def test_what_serve_build_writes_is_an_ordinary_serve_config(cluster, eventually) -> None:
    cluster.add_node(ONE_DOOR)
    cluster.write_settings()
    settings = {"FLUX_CONFIG": str(cluster.folder / "flux.yaml")}
    here = {name: value for name, value in cluster.environment.items() if name != "RAY_ADDRESS"}
    where = ("flux_cluster.serving:app", "--output-path", "built.yaml")
    cluster.run("ray.serve.scripts", "build", *where, env=here | settings)
    built = cluster.folder / "built.yaml"
    assert PASSWORD not in built.read_text()
    config = yaml.safe_load(built.read_text())
    config["http_options"] |= {"host": "127.0.0.1", "port": cluster.serve_port}
    config["applications"][0]["runtime_env"] = {"env_vars": settings}
    built.write_text(yaml.safe_dump(config))
    cluster.run("ray.serve.scripts", "deploy", str(built), "--address", cluster.dashboard)
    eventually(cluster.status, DEPLOY_S, "a door of the deployment")
    publish(cluster.url, 4)
    assert "n4" in state(cluster.url)
    cluster.run("ray.serve.scripts", "shutdown", "--yes", "--address", cluster.dashboard)
    for title in ("ray::NamespaceRouter", "ray::ShardProcess", "ray::ServeReplica"):
        eventually(lambda title=title: not cluster.processes(title), NODE_S, f"{title} to be gone")


@pytest.fixture
def another(cluster, tmp_path_factory) -> Iterator[Cluster]:
    """A second Ray cluster on the same NATS, as a RayService has while it is upgraded."""
    another = Cluster(tmp_path_factory.mktemp("another"), cluster.nats)
    try:
        another.start()
        yield another
    finally:
        another.stop()


def answers(url: str, entity_ids: list[str]) -> list[int]:
    """Return the status of reading each, and of a list of all."""
    paths = [f"/{entity_id}" for entity_id in entity_ids] + ["?namespace=both"]
    return [httpx.get(f"{url}/api/state/entities{path}", timeout=20).status_code for path in paths]


def test_two_clusters_serve_one_log_side_by_side_until_one_goes(cluster, another, eventually) -> None:
    """Each has shards of its own: what befalls those of one is nothing to the other."""
    ids = [f"both/{number}" for number in range(20)]
    for one in (cluster, another):
        one.add_node(ONE_DOOR)
        one.deploy()
        eventually(one.status, DEPLOY_S, "a door of the deployment")
    writers = [cluster.url, another.url]

    def write(properties: dict[str, Any]) -> None:
        for number, entity_id in enumerate(ids):
            payload = {"entity_id": entity_id, "properties": properties}
            body = {"stream": "a", "source": "s", "payload": payload}
            url = writers[number % len(writers)]
            httpx.post(f"{url}/api/events?wait=applied", json=body, timeout=20).raise_for_status()

    def all_have(url: str, properties: dict[str, Any]) -> bool:
        answer = httpx.get(f"{url}/api/state/entities?namespace=both", timeout=20)
        return answer.is_success and [one["properties"] for one in answer.json()] == [properties] * len(ids)

    write({"v": 1})
    for url in writers:
        eventually(lambda url=url: all_have(url, {"v": 1}), NODE_S, "what was written at both")
    (victim,) = cluster.processes("ray::ShardProcess")
    victim.kill()
    deadline = time.monotonic() + NODE_S
    while (facts := cluster.processes("ray::ShardProcess")) == [] or victim in facts:
        assert answers(another.url, ids) == [200] * 21  # the other cluster does not notice
        assert time.monotonic() < deadline
    eventually(lambda: answers(cluster.url, ids) == [200] * 21, NODE_S, "a successor of the killed shard")
    write({"w": 2})
    for url in writers:
        eventually(lambda url=url: all_have(url, {"v": 1, "w": 2}), NODE_S, "what was written after that")
    cluster.run("ray.serve.scripts", "shutdown", "--yes", "--address", cluster.dashboard)
    writers.pop(0)
    write({"x": 3})
    assert all_have(another.url, {"v": 1, "w": 2, "x": 3})
    another.run("ray.serve.scripts", "shutdown", "--yes", "--address", another.dashboard)
    for title in ("ray::NamespaceRouter", "ray::ShardProcess", "ray::ServeReplica"):
        eventually(lambda title=title: not another.processes(title), NODE_S, f"{title} to be gone")


def test_a_ray_job_runs_flux_up_and_leaves_the_cluster_as_it_was(cluster, eventually) -> None:
    cluster.add_node(ONE_DOOR)
    cluster.write_settings()
    job = f"flux-{uuid.uuid4().hex[:8]}"
    data = cluster.folder / "job-data"
    up = [sys.executable, "-m", "flux_actors", "up", "--config", str(cluster.folder / "flux.yaml")]
    patience = json.dumps({"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}})  # Ray's own is 3 s, then it kills
    told = [
        "--no-wait",
        "--submission-id",
        job,
        "--runtime-env-json",
        patience,
        "--",
        *up,
        "--data",
        str(data),
    ]
    address = ("--address", cluster.dashboard)
    cluster.run("ray.scripts.scripts", "job", "submit", *address, *told)
    eventually(cluster.status, DEPLOY_S, "a door of the job")
    publish(cluster.url, 3)
    assert "n3" in state(cluster.url)
    cluster.run("ray.scripts.scripts", "job", "stop", *address, job)
    for title in ("ray::NamespaceRouter", "ray::ShardProcess", "ray::ServeReplica"):
        eventually(lambda title=title: not cluster.processes(title), NODE_S, f"{title} to be gone")
    eventually(lambda: not (data / "run.json").exists(), NODE_S, "flux up to end by itself")
    assert list((data / "snapshots").rglob("*.flux"))  # the shards left their snapshots
