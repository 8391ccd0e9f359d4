"""How commands that look after a log find it: where it runs, or started for them."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings
from flux_actors.settings_loading import load_settings
from flux_cluster import reaching
from flux_cluster.data_folder import DataFolder, Run, write_secret
from flux_cluster.processes import RUN_ID
from flux_cluster.reaching import reached, started

CONF = 'port: 4711\nmax_payload: 1\nauthorization { user: flux, password: "secret" }\n'
RUNNING = NatsAccess("nats://127.0.0.1:4711", "flux", "secret")


class FakeServer:
    """A nats-server that notes what was done to it."""

    made: list = []  # noqa: RUF012 - emptied before each test
    port = 0
    lives = True

    def __init__(self, folder, environment, sync):
        self.environment, self.sync, self.done = environment, sync, []
        self.access = NatsAccess(f"nats://127.0.0.1:{FakeServer.port}", "flux", "new")
        FakeServer.made.append(self)

    def start(self):
        self.done.append("start")

    def stop(self):
        self.done.append("stop")


@pytest.fixture(autouse=True)
def servers(monkeypatch):
    FakeServer.made = []
    monkeypatch.setattr(reaching, "NatsServer", FakeServer)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        FakeServer.port = listening.getsockname()[1]
        yield FakeServer.made


def settings(tmp_path, **given):
    return load_settings({"data": tmp_path, **given}, {})


def note_run(folder, **facts):
    created = psutil.Process().create_time()
    run = Run("id", os.getpid(), created, "", "", facts.get("nats_url", ""), "", "")
    folder.root.mkdir(exist_ok=True)
    folder.write_run(run)


def test_log_of_a_running_flux_is_reached_by_its_own_login(tmp_path, servers):
    folder = DataFolder(tmp_path)
    note_run(folder)
    folder.nats.mkdir()
    write_secret(folder.nats / "server.conf", CONF)
    with reached(settings(tmp_path)) as access:
        assert access == RUNNING
    assert servers == []


def test_log_elsewhere_is_reached_as_the_settings_say(tmp_path, servers):
    given = settings(tmp_path, nats_url="nats://log:4222", nats_user="me", nats_password="pw")
    with reached(given) as access:
        assert access == NatsAccess("nats://log:4222", "me", "pw")
    assert servers == []


def test_log_elsewhere_of_a_running_flux_is_known_from_its_run_file(tmp_path, servers):
    note_run(DataFolder(tmp_path), nats_url="nats://log:4222")
    with reached(settings(tmp_path, nats_user="me")) as access:
        assert access == NatsAccess("nats://log:4222", "me")
    assert servers == []


def test_log_of_a_stopped_flux_is_started_and_stopped_again(tmp_path, servers):
    folder = DataFolder(tmp_path)
    (folder.nats / "store").mkdir(parents=True)
    write_secret(folder.nats / "server.conf", CONF)  # left by one that was killed
    with reached(settings(tmp_path)) as access:
        (server,) = servers
        run = folder.run()
        assert (access, server.done, server.sync) == (server.access, ["start"], "always")
        assert server.environment[RUN_ID] == run.run_id  # by it the next `flux up` ends it
        assert run.pid == os.getpid()
        with pytest.raises(Refused, match="already runs"):
            DataFolder(tmp_path).open()
    assert server.done == ["start", "stop"]
    assert folder.run() is None
    other = DataFolder(tmp_path)
    other.open()
    other.close()


def test_folder_without_a_log_is_refused_and_stays_as_it_is(tmp_path, servers):
    with pytest.raises(Refused, match="there is no log on"), reached(settings(tmp_path / "typo")):
        pass
    assert not (tmp_path / "typo").exists()
    assert servers == []


def test_server_is_stopped_whatever_happens(tmp_path, servers):
    with pytest.raises(SimpleError), started(DataFolder(tmp_path)):
        raise SimpleError
    assert servers[0].done == ["start", "stop"]


def test_server_that_does_not_start_is_told_and_ended(tmp_path, servers, monkeypatch):
    monkeypatch.setattr(FakeServer, "lives", False)
    with pytest.raises(Unavailable, match="did not start"), started(DataFolder(tmp_path)):
        pass
    assert servers[0].done == ["start", "stop"]


class SimpleError(Exception):
    """What happens to whoever uses a log."""


def test_no_secret_of_the_settings_reaches_the_server(tmp_path, servers, monkeypatch):
    monkeypatch.setenv("FLUX_ADMIN_TOKEN", "made-up-secret")
    with started(DataFolder(tmp_path)):
        assert "made-up-secret" not in servers[0].environment.values()


def test_external_login_is_of_the_settings_alone():
    found = reaching.external(Settings(nats_credentials="f", nats_ca="ca"), "u")
    assert found == NatsAccess("u", credentials_file="f", ca_file="ca")
