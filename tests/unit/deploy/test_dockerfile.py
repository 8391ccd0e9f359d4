"""The image: its file as Docker's own parser reads it, and its commands run here as far as they go."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import dockerfile
import pytest

from flux_cluster.ray_head import ray_environment
from tests.unit.client.contract_server import contract_server
from tests.unit.deploy.manifests import DEPLOY, REPO

FILE = DEPLOY / "Dockerfile"
COMMANDS = dockerfile.parse_file(str(FILE))
SOURCE = Path(sysconfig.get_path("purelib"))
MODULES = (
    "ray, ray.serve, ray.scripts.scripts, ray.serve.scripts, ray.dashboard.dashboard, flux_cluster.launch, "
    "flux_cluster.serving, flux_api.deployment, flux_actors.shard.actor, flux_actors.cli.main"
)
LAST_STAGE = max(index for index, command in enumerate(COMMANDS) if command.cmd.lower() == "from")
FINAL = COMMANDS[LAST_STAGE:]


def of(kind: str, commands=FINAL):
    """Return the instructions of a kind."""
    return [command for command in commands if command.cmd.lower() == kind]


def environment() -> dict[str, str]:
    """Return the variables of the image."""
    values = [value for command in of("env") for value in command.value]
    return dict(zip(values[::2], values[1::2], strict=True))


def flux(words: tuple[str, ...], *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the image with this installation's programs."""
    scripts = sysconfig.get_path("scripts")
    variables = {"PATH": f"{scripts}:{os.environ['PATH']}"} | variables
    return subprocess.run(
        [*words, *more], env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_is_small_and_runs_as_a_user_without_rights() -> None:
    assert len(of("from", COMMANDS)) == 2
    assert all("slim" in command.value[0] for command in of("from", COMMANDS))
    assert of("user")[-1].value == ("10001:10001",)
    assert COMMANDS.index(of("user")[-1]) > COMMANDS.index(of("run")[-1])


def test_what_is_copied_is_there_and_let_through_and_nothing_else_is() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    sources = {
        source for command in of("copy", COMMANDS) if not command.flags for source in command.value[:-1]
    }
    assert sources <= {*allowed, "api"}
    assert all((REPO / source).exists() for source in allowed)
    for hidden in (".git", ".venv", "flux-data", "tests"):
        assert not any(fnmatch.fnmatch(hidden, pattern) for pattern in allowed)


def test_ray_gets_the_variables_that_flux_up_gives_it() -> None:
    image = environment()
    assert {name: image.get(name) for name in ray_environment(None)} == ray_environment(None)


def test_the_health_check_tells_a_door_that_serves_from_one_that_does_not() -> None:
    (check,) = of("healthcheck")
    words = tuple(json.loads(check.original[check.original.index("[") :]))
    with contract_server() as server:
        assert flux(words, FLUX_URL=server.url).returncode == 0
    assert flux(words, FLUX_URL="http://127.0.0.1:1").returncode == 1


def test_flux_knows_the_options_that_it_is_started_with() -> None:
    (command,) = of("cmd")
    assert command.json
    assert flux(command.value, "--help").returncode == 0
    assert flux(command.value, "--no-such-option").returncode == 2


@pytest.mark.long
@pytest.mark.timeout(300)
def test_ray_and_flux_work_without_what_the_image_leaves_out(tmp_path: Path) -> None:
    """The last RUN of the first stage, on a copy of the packages here, whose files are links."""
    (trim,) = [c for c in of("run", COMMANDS[:LAST_STAGE]) if "rm -rf" in c.value[0]]
    packages = tmp_path / "lib/python3.11/site-packages"
    shutil.copytree(SOURCE, packages, copy_function=os.symlink, symlinks=True)
    before = size_of(packages / "ray")
    steps = trim.value[0].replace("/opt/flux/lib/python3.11/site-packages", str(packages)).split("&&")
    subprocess.run(["/bin/sh", "-ec", "&&".join(steps[:2])], check=True, timeout=60)
    assert size_of(packages / "ray") < before - 40_000_000
    path = os.pathsep.join(map(str, [packages, *(REPO / part for part in ("", "api", "cluster", "bench"))]))
    code = f"import sys; sys.path = [p for p in sys.path if p != {str(SOURCE)!r}]; import {MODULES}"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"{code}; print(ray.__file__)"],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(packages))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
