"""Ray's head: its environment and token, what it hangs on, and that nothing of it is left."""

from __future__ import annotations

import stat
import subprocess

import psutil
import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_cluster import ray_head
from flux_cluster.data_folder import DataFolder
from flux_cluster.ray_head import RayHead, ray_environment


def test_workers_are_not_nice_and_nothing_is_reported_to_others(tmp_path):
    variables = ray_environment(tmp_path / "token")
    assert variables["RAY_worker_niceness"] == "0"
    assert variables["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_page_of_a_list_fits_into_an_answer(tmp_path):
    carried_bytes = int(ray_environment(tmp_path / "token")["RAY_max_direct_call_object_size"])
    assert carried_bytes > limits.page_bytes + limits.run_bytes


def test_our_own_cluster_takes_a_token_named_by_its_path(tmp_path):
    (tmp_path / "token").write_text("secret")
    variables = ray_environment(tmp_path / "token")
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert "secret" not in variables.values()


def test_our_own_cluster_is_of_this_machine_alone(tmp_path):
    assert ray_environment(tmp_path / "token")["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_a_cluster_of_others_has_its_own_rules():
    assert not any(name.startswith(("RAY_AUTH", "RAY_ENABLE")) for name in ray_environment(None))


class FakeProcess:
    """`ray start`, and what it left running."""

    def __init__(self, name="ray", code=0):
        self._name, self.code, self.alive = name, code, True

    def name(self):
        return self._name

    def wait(self, timeout_s):
        if self.code is None:
            raise subprocess.TimeoutExpired("ray", timeout_s)
        return self.code


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(tmp_path / "data")
    folder.open()
    folder.close()
    return folder


@pytest.fixture
def started(folder, tmp_path, monkeypatch):
    """Start a head whose processes are given; return it and how it was started."""
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr(ray_head.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "ray"))
    monkeypatch.setattr(ray_head, "lives", lambda process: process.alive)

    def start(processes, code=0):
        seen = {}

        def popen(command, *, env, **options):
            seen.update(command=command, environment=env)
            return FakeProcess(code=code)

        def of_run(run_id):
            assert run_id == "id"
            return processes

        monkeypatch.setattr(ray_head.subprocess, "Popen", popen)
        monkeypatch.setattr(ray_head, "of_run", of_run)
        head = RayHead(folder, {"FLUX_RUN_ID": "id"})
        head.begin()
        return head, seen

    return start


def vital():
    return [FakeProcess("gcs_server"), FakeProcess("raylet"), FakeProcess("python")]


def test_its_token_is_its_owners_alone_and_on_no_command_line(started, folder):
    _, seen = started(vital())
    token = folder.root / "ray-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64
    assert token.read_text() not in repr(seen)
    assert seen["environment"]["FLUX_RUN_ID"] == "id"


def test_it_listens_on_this_machine_alone_on_ports_of_its_own(started):
    head, seen = started(vital())
    words = [word for word in seen["command"] if word.startswith("--")]
    workers = {"--min-worker-port=0", "--max-worker-port=0"}  # any: another Ray may run here
    assert workers <= set(words)
    ports = [word.partition("=")[2] for word in words if "port=" in word and word not in workers]
    assert "--node-ip-address=127.0.0.1" in words
    assert "--include-dashboard=false" in words
    assert len(set(ports)) == len(ports) == 6
    assert head.address == f"127.0.0.1:{ports[0]}"


def test_it_lives_as_long_as_what_everything_hangs_on(started):
    processes = vital()
    head, _ = started(processes)
    assert not head.lives
    head.wait()
    assert head.lives
    processes[2].alive = False
    assert head.lives
    processes[0].alive = False
    assert not head.lives


@pytest.mark.parametrize(("code", "count"), [(1, 3), (None, 3), (0, 1), (0, 0)])
def test_one_that_did_not_start_is_told_with_its_log(started, folder, code, count):
    head, _ = started(vital()[:count], code)
    with pytest.raises(Unavailable, match="Ray did not start") as told:
        head.wait()
    assert str(folder.logs / "ray.log") in told.value.message


def test_a_process_that_is_gone_before_it_was_looked_at_is_none(started, monkeypatch):
    def gone(_):
        raise psutil.NoSuchProcess(1)

    head, _ = started(vital())
    monkeypatch.setattr(FakeProcess, "name", gone)
    with pytest.raises(Unavailable):
        head.wait()


def test_nothing_of_it_is_left(started, folder):
    head, _ = started(vital())
    (head.folder / "session").mkdir()
    head.forget()
    head.forget()
    assert not head.folder.exists()
    assert not (folder.root / "ray-token").exists()
