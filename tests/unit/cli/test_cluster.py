"""`flux status`, `flux up` and `flux serve-config` as far as they need no running Flux of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flux_cluster.data_folder import DataFolder, Run
from tests.unit.cli.commands import answer_of, assert_refused

STATUS = {
    "version": "1",
    "doors": 3,
    "partitions": [
        {
            "partition": number,
            "shard": f"flux-shard-{number % 2}-e1",
            "phase": "running",
            "sequence": 5,
            "pending": 0,
            "events": 9,
            "entities": 4,
            "error": None,
            "cold": 0,
            "poison": 0,
        }
        for number in range(4)
    ],
}


@pytest.fixture
def running(flux: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a Flux runs by a settings file, as far as `flux status` sees."""
    monkeypatch.chdir(tmp_path)
    flux.answer_with(200, json.dumps(STATUS).encode())
    (tmp_path / "flux.yaml").write_text("shards: 2\npartitions: 4\n")
    folder = DataFolder(tmp_path / "flux-data")
    folder.open()
    config = str(tmp_path / "flux.yaml")
    folder.write_run(
        Run("id", 1, 0.0, flux.url, "", "nats://n:1", "127.0.0.1:1", "", config=config, ready=True)
    )
    folder.close()
    return tmp_path


def test_status_shows_the_topology_and_by_which_file(run: Any, flux: Any, running: Path) -> None:
    shown = run("status")
    assert shown.exit_code == 0, shown.output
    assert "partitions 4   shards 2   doors 3" in shown.stdout
    assert f"settings {running}/flux.yaml" in shown.stdout
    assert "asks for" not in shown.stdout
    flux.answer_with(200, json.dumps(STATUS).encode())
    facts = answer_of(run("status", "-o", "json"))
    assert (facts["config"], facts["doors"]) == (str(running / "flux.yaml"), 3)


def test_status_says_what_the_file_asks_for_by_now(run: Any, running: Path) -> None:
    (running / "flux.yaml").write_text("shards: 3\npartitions: 8\ndoors: 3\n")
    shown = run("status").stdout
    assert "asks for partitions 8, shards 3" in shown


def test_status_asks_another_door_by_its_url(run: Any, flux: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    flux.answer_with(200, json.dumps(STATUS).encode())
    shown = run("status", "--url", f"{flux.url}/").stdout
    assert f"Flux 1 at {flux.url}" in shown
    assert "supervisor" not in shown
    assert_refused(run("status"), "name a door with --url")


def test_a_settings_file_that_is_none_stops_a_start_with_its_line(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flux.yaml").write_text("port: 3000\nshard: 2\n")
    assert_refused(run("up"), "flux.yaml, line 2: there is no setting `shard`; do you mean `shards`?")
    assert_refused(run("up", "--config", "other.yaml"), "other.yaml cannot be read")
    assert_refused(run("status", FLUX_CONFIG="other.yaml"), "other.yaml cannot be read")


def test_the_serve_config_is_printed_without_reading_secrets(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flux.yaml").write_text("shards: 2\nadmin_token_file: /nowhere/token\n")
    printed = run("serve-config", FLUX_DOORS="5")
    assert (printed.exit_code, printed.stderr) == (0, "")
    (application,) = yaml.safe_load(printed.stdout)["applications"]
    assert application["args"] == {"shards": 2, "admin_token_file": "/nowhere/token", "doors": 5}
