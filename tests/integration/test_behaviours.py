"""Behaviours on the real engine: code gets into a running Flux, from a shell and from a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningFlux, clean_environment, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
STATE = "/api/state/entities/flux-core/behaviours"
SOURCE = """
from {name}_limits import WARM
import flux_actors as flux

class {name}(flux.Behaviour):
    match = "{name}/*"

    def reduce(self, state, event):
        return state | event.properties | {{"warm": event.properties.get("celsius", 0) > WARM}}
"""
SCRIPT = """
import time
import ray
import flux_actors as flux

class {name}(flux.Behaviour):
    match = "{name}/*"
    def on_ask(self, entity, message):
        return message

class Other({name}):
    match = "{name}/x"

assert not ray.is_initialized()
print(flux.deploy({name}).number, flux.deploy({name}).number)
print(flux.deploy(Other, name="{name}", canary="{name}/x").number)
print(flux.promote("{name}").stable.number, flux.rollback("{name}").stable.number)
print([one.name for one in flux.behaviours() if one.name == "{name}"], ray.is_initialized())
flux.remove("{name}")
"""
REVISIONS = """
import time
import ray
from flux_actors.native.joining import join

join()
router = ray.get_actor("flux-router", namespace="flux")
until = time.monotonic() + 20
found = []
while len(set(found)) != 1 and time.monotonic() < until:
    wish = ray.get(router.behaviours.remote()).revision
    rows = [row for rows in ray.get(router.status.remote())["shards"].values() for row in rows]
    found = [wish, *(row["behaviours"] for row in rows)]
    time.sleep(0.1)
print(*found)
"""


def run(flux: RunningFlux, folder: Path, *arguments: str, **environment: str) -> Any:
    """Run Python in a folder of its own, as somebody who knows where the Flux is."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=clean_environment() | {"FLUX_DATA": str(flux.data.absolute())} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def behaviours(flux: RunningFlux, folder: Path, *arguments: str, **environment: str) -> str:
    """Run `flux behaviours` and return what it prints."""
    done = run(flux, folder, "-m", "flux_actors", "behaviours", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(flux: RunningFlux, name: str) -> Any:
    answer = httpx.get(f"{flux.url}{STATE}/{name}")
    return answer.json()["properties"] if answer.status_code == 200 else None


@pytest.fixture
def house(tmp_path: Path, namespace: str) -> Path:
    """A folder with a module of behaviours, and one that it needs."""
    (tmp_path / f"{namespace}_limits.py").write_text("WARM = 30")
    (tmp_path / f"{namespace}_rooms.py").write_text(SOURCE.format(name=namespace))
    return tmp_path


def test_code_of_a_folder_reaches_every_partition_and_everybody_sees_it(
    flux: RunningFlux, house: Path, namespace: str
) -> None:
    assert "version 1" in behaviours(flux, house, "deploy", f"{namespace}_rooms:{namespace}")
    shown = wait_for(lambda: facts(flux, namespace), 10, "the behaviour to be shown")
    assert (shown["version"], shown["match"], shown["stopped"]) == (1, [f"{namespace}/*"], False)
    done = run(flux, house, "-c", REVISIONS)
    wish, *partitions = done.stdout.split()
    assert partitions == [wish] * 4, done.stderr
    behaviours(flux, house, "remove", namespace)
    wait_for(lambda: facts(flux, namespace) is None, 10, "the behaviour to be shown no longer")
    record = httpx.get(f"{flux.url}/api/state/entities/flux-core/audit").json()["properties"]
    assert (record["what"], record["details"]) == ("behaviour.remove", {"behaviour": namespace})


def test_script_that_has_imported_ray_joins_by_itself(
    flux: RunningFlux, tmp_path: Path, namespace: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(name=namespace))
    done = run(flux, tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1 1", "2", "2 1", f"['{namespace}'] True"]


def test_module_that_the_cluster_lacks_is_told_before_anything_changes(
    flux: RunningFlux, tmp_path: Path, namespace: str
) -> None:
    site = tmp_path / "site"
    (site / "dist-packages").mkdir(parents=True)
    source = f"""
import sys, sysconfig, types
import flux_actors as flux
absent = types.ModuleType("absent_{namespace}")
absent.__file__ = sysconfig.get_paths()["purelib"] + "/absent_{namespace}.py"
absent.limit = lambda: 3
absent.limit.__module__, absent.limit.__qualname__ = absent.__name__, "limit"
sys.modules[absent.__name__] = absent
limit = absent.limit

class {namespace}(flux.Behaviour):
    match = "{namespace}/*"
    def reduce(self, state, event):
        return {{"limit": limit()}}
"""
    (tmp_path / f"{namespace}_rooms.py").write_text(source)
    place = f"{namespace}_rooms:{namespace}"
    done = run(flux, tmp_path, "-m", "flux_actors", "behaviours", "deploy", place)
    assert done.returncode == 1
    assert f"the module 'absent_{namespace}' is not installed there" in done.stderr
    assert facts(flux, namespace) is None


def test_admins_alone_deploy(make_flux: Any, house: Path, namespace: str) -> None:
    flux = make_flux(environment={"FLUX_ADMIN_TOKEN": "boss", "FLUX_AUTH_ENABLED": "true"})
    flux.start()
    arguments = ("-m", "flux_actors", "behaviours", "deploy", f"{namespace}_rooms:{namespace}")
    for token in ({}, {"FLUX_ADMIN_TOKEN": "somebody"}):
        refused = run(flux, house, *arguments, **token)
        assert refused.returncode == 1
        assert "behaviours and shards are the admin's to change" in refused.stderr
    assert run(flux, house, *arguments, FLUX_ADMIN_TOKEN="boss").returncode == 0
    wait_for(lambda: facts(flux, namespace), 10, "the behaviour to be shown")
    log = (flux.data / "logs").rglob("*")
    assert not [path for path in log if path.is_file() and b"boss" in path.read_bytes()]
    assert "boss" not in os.environ.values()
