"""The compose file of three nodes: what Docker takes of it, and what the programs in it take."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.scripts.scripts import start

from flux_actors import limits
from flux_actors.settings_file import read_settings_file
from flux_actors.settings_loading import load_settings
from flux_cluster.nats_server import binary
from tests.unit.deploy.manifests import COMPOSE, bytes_of, idle_megabytes, parsed_ray_start

FILE = COMPOSE / "compose.yaml"
NODES = ["node-1", "node-2", "node-3"]


@pytest.fixture
def services():
    """The services, with what they have in common put into each."""
    return yaml.safe_load(FILE.read_text())["services"]


def check(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    checked = check(FILE)
    assert checked.returncode == 0, checked.stdout
    mistaken = tmp_path / "compose.yaml"
    mistaken.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_periods"))
    assert check(mistaken).returncode == 1


def ray_start_of(command: list[str]) -> list[str]:
    """Return the arguments of `ray start` in a service's command, which may be one of a shell."""
    words = shlex.split(command[2].split("&&")[0]) if command[0] == "sh" else command
    assert words[:2] == ["ray", "start"]
    return words[2:]


def test_ray_takes_the_commands_of_the_nodes_and_each_has_a_door(services) -> None:
    for name in NODES:
        arguments = ray_start_of(services[name]["command"])
        told = parsed_ray_start(arguments)
        assert json.loads(told["resources"]) == {"flux-door": 1}, name
        assert told["head"] is (name == "node-1")
    assert services["node-1"]["command"][2].endswith("&& exec flux up")
    assert {parameter.name for parameter in start.params} >= {"disable_usage_stats", "include_dashboard"}


def test_flux_takes_the_settings_and_every_file_that_they_name_is_there(services) -> None:
    file = read_settings_file(COMPOSE / "flux.yaml")
    settings = load_settings({}, {}, file, read_secrets=False)
    assert (settings.log_replicas, settings.door_resource) == (3, True)
    hosts = {url.rpartition("/")[2].partition(":")[0] for url in (settings.nats_url or "").split(",")}
    assert hosts == {name for name in services if name.startswith("nats-")}
    for name in NODES:
        node = services[name]
        assert f"./flux.yaml:{node['environment']['FLUX_CONFIG']}:ro" in node["volumes"]
        assert {"nats_password", "admin_token", "ray_token"} <= set(node["secrets"])
    for value in (settings.nats_password_file, settings.admin_token_file):
        assert value is not None
        assert value.parent == Path("/run/secrets")


def test_each_node_may_take_what_was_measured_of_its_parts(services) -> None:
    idle = idle_megabytes()
    least = sum(idle[part] for part in ("Ray and the rest", "door", "shard", "router")) * 1_000_000
    assert all(bytes_of(services[name]["mem_limit"]) > least for name in NODES)


def test_nodes_have_no_rights_and_ports_are_for_this_machine(services) -> None:
    for name in NODES:
        assert services[name]["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    assert not any("ports" in services[name] for name in services if name.startswith("nats-"))


def test_nats_takes_its_configuration(tmp_path: Path) -> None:
    text = (COMPOSE / "nats.conf").read_text()
    assert "max_file: 10GB\n" in text
    assert f"max_payload: {limits.nats_payload_bytes_max}\n" in text
    (tmp_path / "nats.conf").write_text(text.replace('"/data"', f'"{tmp_path}"'))
    environment = {"PATH": os.environ["PATH"], "NATS_PASSWORD": "made-up"}
    command = [binary(), "-t", "-c", tmp_path / "nats.conf", "--name", "nats-1"]
    checked = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert checked.returncode == 0, checked.stderr
