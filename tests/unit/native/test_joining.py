from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from flux_actors.errors import Refused, Unavailable
from flux_actors.native import joining
from flux_actors.native.joining import driver_environment, join, variables_of

RUN = {"run_id": "x", "ray_address": "127.0.0.1:6379", "ray_folder": "/somewhere"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    return tmp_path


class Ray:
    """What of Ray is called, and what it answers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.initialized = False
        self.fault: Exception | None = None
        self.inits: list[dict[str, Any]] = []
        self.read: list[str] = []
        patch.setattr(ray, "is_initialized", lambda: self.initialized)
        patch.setattr(ray, "init", self.init)
        loader = SimpleNamespace(reset_cache=lambda: self.read.append("token"))
        raylet = SimpleNamespace(
            Config=SimpleNamespace(initialize=lambda _: self.read.append("config")),
            AuthenticationTokenLoader=SimpleNamespace(instance=lambda: loader),
        )
        self.constants = SimpleNamespace(ENABLE_RAY_CLUSTER=True)
        patch.setitem(sys.modules, "ray._raylet", raylet)  # type: ignore[arg-type]
        patch.setitem(sys.modules, "ray._private.ray_constants", self.constants)  # type: ignore[arg-type]

    def init(self, **options: Any) -> None:
        self.inits.append(options | {"token": os.environ.get("RAY_AUTH_TOKEN_PATH")})
        if self.fault is not None:
            raise self.fault
        self.initialized = True


@pytest.fixture
def rays(monkeypatch: pytest.MonkeyPatch) -> Ray:
    for name in ("RAY_ADDRESS", "FLUX_DATA", *driver_environment(Path("x"))):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(joining, "knock", lambda _: None)
    return Ray(monkeypatch)


def test_address_in_the_environment_counts_first() -> None:
    assert variables_of(None, {"RAY_ADDRESS": "h:1", "FLUX_DATA": "/x"}) == {"RAY_ADDRESS": "h:1"}


def test_data_folder_that_is_named_counts_before_it(folder: Path) -> None:
    variables = variables_of(folder, {"RAY_ADDRESS": "h:1"})
    assert variables["RAY_ADDRESS"] == "127.0.0.1:6379"
    assert variables["RAY_AUTH_TOKEN_PATH"] == str(folder / "ray-token")
    assert (variables["RAY_AUTH_MODE"], variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"]) == ("token", "0")


def test_folder_comes_from_the_environment_or_is_beside(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variables_of(None, {"FLUX_DATA": str(folder)})["RAY_ADDRESS"] == "127.0.0.1:6379"
    (tmp_path / "here" / "flux-data").mkdir(parents=True)
    (tmp_path / "here" / "flux-data" / "run.json").write_text(json.dumps(RUN | {"ray_address": "h:2"}))
    monkeypatch.chdir(tmp_path / "here")
    assert variables_of(None, {})["RAY_ADDRESS"] == "h:2"


def test_ray_of_somebody_else_needs_no_token_of_ours(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps(RUN | {"ray_folder": ""}))
    assert "RAY_AUTH_TOKEN_PATH" not in variables_of(folder, {})


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_folder_without_a_flux_is_refused_with_what_to_do(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(Refused, match="flux up") as caught:
        variables_of(tmp_path, {})
    assert str(tmp_path) in caught.value.message


def test_who_is_in_a_cluster_stays_there(rays: Ray) -> None:
    rays.initialized = True
    join()
    assert rays.inits == []


def test_joining_sets_what_ray_reads_and_has_it_read_again(rays: Ray, folder: Path) -> None:
    join(folder)
    assert [(one["address"], one["token"]) for one in rays.inits] == [
        ("127.0.0.1:6379", str(folder / "ray-token"))
    ]
    assert rays.read == ["config", "token"]
    assert not rays.constants.ENABLE_RAY_CLUSTER
    assert "RAY_ADDRESS" not in os.environ
    join(folder)
    assert len(rays.inits) == 1


def test_cluster_of_others_is_joined_as_it_is(rays: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "h:1")
    join()
    assert rays.inits[0]["address"] == "h:1"
    assert rays.constants.ENABLE_RAY_CLUSTER


@pytest.mark.parametrize("fault", [ConnectionError("closed\nmore"), RuntimeError(""), ValueError("bad")])
def test_what_ray_says_is_told_in_one_line(rays: Ray, folder: Path, fault: Exception) -> None:
    rays.fault = fault
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:6379 lets nobody join") as caught:
        join(folder)
    assert "\n" not in caught.value.message


def test_address_at_which_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"no Ray answers at {address}"):
            joining.knock(address)
        bound.listen()
        joining.knock(address)
    for other in ("auto", "ray://nowhere:1", "local"):
        joining.knock(other)
