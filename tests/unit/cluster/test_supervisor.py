"""The supervisor: starts in order, keeps alive what must live, stops in reverse."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings
from flux_actors.tls import Certificate
from flux_cluster import supervisor
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.log_disk import Turn
from flux_cluster.ports import free_ports
from flux_cluster.supervisor import Supervisor
from tests.certificates import make_pair
from tests.unit.cluster.stage import FakeLauncher, FakeServer, FakeTelling, Stage


@pytest.fixture
def stage(monkeypatch, tmp_path):
    stage = Stage()

    def nats(folder, environment):
        stage.nats = FakeServer(stage, "nats", folder)
        return stage.nats

    def head(folder, environment):
        stage.head = FakeServer(stage, "ray", tmp_path / "ray")
        return stage.head

    async def check(access):
        stage.does(f"check {access.url}")

    signals = SimpleNamespace(
        SIGINT=signal.SIGINT,
        SIGTERM=signal.SIGTERM,
        SIG_IGN=signal.SIG_IGN,
        signal=stage.handlers.__setitem__,
    )
    monkeypatch.setattr(supervisor, "NatsServer", nats)
    monkeypatch.setattr(supervisor, "RayHead", head)
    monkeypatch.setattr(supervisor, "Launcher", lambda *_: FakeLauncher(stage))
    monkeypatch.setattr(supervisor, "check_jetstream", check)
    monkeypatch.setattr(supervisor, "TellingThread", partial(FakeTelling, stage))
    monkeypatch.setattr(supervisor, "signal", signals)
    monkeypatch.setattr(supervisor, "become_reaper", lambda: None)
    monkeypatch.setattr(supervisor, "reap", lambda _: None)
    monkeypatch.setattr(supervisor, "of_run", lambda _: [])
    monkeypatch.setattr(supervisor, "end_all", lambda *_: stage.does("the rest is ended"))
    monkeypatch.setattr(supervisor, "_answers", lambda *_: stage.ready)
    monkeypatch.setattr(supervisor, "_LOOK_S", 0.001)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    stage.on_report["Flux is at"] = stage.ask_to_stop
    return stage


@pytest.fixture
def up(stage, tmp_path):
    """Run a Flux on the stage until something stops it."""

    def up(**settings):
        given = {"data": tmp_path / "data", "port": free_ports(1)[0]} | settings
        Supervisor(Settings(**given), stage.report).run()

    return up


START = ["nats starts", "ray begins", "ray is waited for", "start"]
STOP = ["stop", "the rest is ended", "nats stops", "ray is forgotten"]


def test_it_starts_in_order_and_stops_in_reverse(stage, up, tmp_path):
    up()
    assert stage.done == START + STOP
    assert DataFolder(tmp_path / "data").run() is None


def test_the_run_file_says_when_it_is_ready(stage, up, tmp_path):
    seen = []

    def look():
        seen.append(DataFolder(tmp_path / "data").run())

    stage.on_report |= {"starting router": look, "Flux is at": lambda: (look(), stage.ask_to_stop())}
    up()
    assert [run.ready for run in seen] == [False, True]
    assert (seen[0].pid, seen[0].nats_url) == (os.getpid(), "nats://127.0.0.1:2")
    assert "secret-of-nats" not in repr(seen)


def test_a_nats_server_that_died_is_started_again_and_nothing_else(stage, up):
    def die():
        stage.nats.lives = False

    stage.on_report |= {"Flux is at": die, "nats-server died": stage.ask_to_stop}
    up()
    assert stage.done == [*START, "nats starts", *STOP]
    assert stage.told == {"flux_supervisor_nats_starts_total": 2, "flux_supervisor_ray_starts_total": 1}


def test_a_nats_server_whose_disk_was_full_is_started_again_when_there_is_room(stage, up):
    stage.on_report |= {
        "Flux is at": lambda: stage.nats.turns.append(Turn.FULL),
        "the disk of the log is full": lambda: stage.nats.turns.append(Turn.ROOM),
        "the disk of the log has room again": stage.ask_to_stop,
    }
    up()
    assert stage.done == [*START, "nats is started again", *STOP]


def test_a_ray_that_died_is_started_again_on_the_living_log(stage, up):
    def die():
        stage.head.lives = False

    stage.on_report |= {"Flux is at": die, "Ray's head died": stage.ask_to_stop}
    stage.on_report["starting router"] = lambda: None
    up()
    assert stage.done[: len(START) + 2] == [*START, "the rest is ended", "ray is forgotten"]
    assert "nats stops" not in stage.done[: -len(STOP)]


def test_the_log_is_spared_when_the_rest_of_the_run_is_ended(stage, up, monkeypatch):
    ended = []
    processes = [SimpleNamespace(pid=1), SimpleNamespace(pid=2)]
    monkeypatch.setattr(FakeServer, "pid", 1)
    monkeypatch.setattr(supervisor, "of_run", lambda _: processes)
    monkeypatch.setattr(supervisor, "end_all", lambda found, _: ended.append([one.pid for one in found]))
    stage.on_report |= {
        "Flux is at": lambda: setattr(stage.head, "lives", False),
        "Ray's head died": stage.ask_to_stop,
    }
    up()
    assert ended == [[2], [2]]


def test_a_ray_that_does_not_come_back_is_tried_again(stage, up):
    starts = []

    def die():
        stage.head.lives = False
        stage.faults["ray is waited for"] = [Unavailable("Ray did not start")] * 2
        stage.on_obey["start"] = stage.ask_to_stop

    stage.on_report |= {"Flux is at": die, "Ray's head died": lambda: starts.append(1)}
    up()
    assert stage.told == {"flux_supervisor_nats_starts_total": 1, "flux_supervisor_ray_starts_total": 2}
    assert len(starts) == 3
    assert stage.reports.count("Ray did not start; trying again") == 2
    assert stage.orders.count(stage.orders[0]) == 2
    assert stage.done.count("nats starts") == 1


@pytest.mark.parametrize("moment", ["starting the log", "starting Ray"])
def test_one_who_stops_it_while_it_starts_waits_for_no_launch(stage, up, moment, tmp_path):
    stage.on_report[moment] = stage.ask_to_stop
    up()
    assert stage.orders == []
    assert stage.done[-3:] == ["the rest is ended", "nats stops", "ray is forgotten"]
    assert DataFolder(tmp_path / "data").run() is None


@pytest.mark.parametrize("failing", ["nats starts", "ray is waited for", "start"])
def test_what_could_not_be_started_leaves_nothing_and_gives_the_folder_back(stage, up, failing, tmp_path):
    stage.faults[failing] = [Unavailable("no")]
    with pytest.raises(Unavailable, match="no"):
        up()
    folder = DataFolder(tmp_path / "data")
    assert folder.run() is None
    assert "nats stops" in stage.done
    folder.open()
    folder.close()


def test_doors_that_do_not_become_ready_are_told_with_the_place_of_the_logs(stage, up, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_READY_S", 0.01)
    stage.ready = False
    with pytest.raises(Unavailable, match="did not become ready") as told:
        up()
    assert str(tmp_path / "data" / "logs") in told.value.message
    assert stage.done == START + STOP


def test_one_that_cannot_be_closed_gently_is_ended_all_the_same(stage, up):
    stage.faults["stop"] = [Unavailable("a shard is silent")]
    up()
    assert stage.done == START + STOP
    assert any("a shard is silent" in text for text in stage.reports)


def test_the_log_of_others_is_checked_and_left_alone(stage, up):
    up(nats_url="nats://there:4222", nats_user="me", nats_password=SecretStr("secret"))
    assert stage.nats is None
    assert stage.done[0] == "check nats://there:4222"
    assert stage.orders[0].access == NatsAccess("nats://there:4222", "me", "secret")


def test_a_ray_cluster_of_others_is_joined_and_left(stage, up, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    up()
    start, stop = stage.orders
    assert stage.head is None
    assert (start.site.ray_address, start.site.cluster_is_ours) == ("10.0.0.1:6379", False)
    assert start.site == stop.site
    assert str(tmp_path / "data") in start.site.owner


def test_where_this_node_has_no_door_another_nodes_is_told(stage, up, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(supervisor, "_answers", lambda url, _: url.startswith("http://10.0.0.7"))
    stage.door = "http://10.0.0.7:3000"
    seen = []
    stage.on_report["Flux is at"] = lambda: (
        seen.append(DataFolder(tmp_path / "data").run()),
        stage.ask_to_stop(),
    )
    up(config=tmp_path / "flux.yaml")
    assert "Flux is at http://10.0.0.7:3000" in " ".join(stage.reports)


def test_the_run_file_names_the_door_and_the_settings_file(stage, up, tmp_path):
    seen = []
    look = lambda: (seen.append(DataFolder(tmp_path / "data").run()), stage.ask_to_stop())  # noqa: E731
    stage.on_report["Flux is at"] = look
    up(config=tmp_path / "flux.yaml", port=3999)
    assert (seen[0].url, seen[0].config) == ("http://localhost:3999", str(tmp_path / "flux.yaml"))


RUN = Run("earlier", 1, 0.0, "http://x", "", "", "10.0.0.1:6379", "")


def test_what_an_earlier_run_left_is_swept_first(stage, up, folder, tmp_path):
    folder.write_run(RUN)
    folder.close()
    up(data=tmp_path)
    assert (stage.orders[0].site.ray_address, stage.orders[0].site.cluster_is_ours) == (
        "10.0.0.1:6379",
        False,
    )
    assert stage.done == ["sweep", "the rest is ended", *START, *STOP]


def test_a_cluster_that_cannot_be_swept_holds_no_start_up(stage, up, folder, tmp_path):
    folder.write_run(RUN)
    folder.close()
    stage.faults["sweep"] = [Unavailable("no such cluster")]
    up(data=tmp_path)
    assert stage.done[2:] == START + STOP
    assert any("no such cluster" in text for text in stage.reports)


def test_a_second_one_on_the_folder_leaves_the_first_alone(stage, up, folder, tmp_path):
    folder.write_run(RUN)
    with pytest.raises(Refused, match="already runs"):
        up(data=tmp_path)
    gc.collect()  # an unclosed lock is this test's failure, not that of a later one
    assert stage.done == []
    assert folder.run() == RUN


def test_a_taken_port_is_refused_before_anything_starts(stage, up):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Refused, match="choose with --port"):
            up(port=port)
        with pytest.raises(Refused, match="choose with FLUX_SERVE_PORT"):
            up(serve_port=port)
    assert not {"nats starts", "ray begins"} & set(stage.done)


@pytest.mark.parametrize(
    ("settings", "free", "expected"),
    [({}, True, {8000}), ({}, False, {4711}), ({"port": 8000}, True, {4711}), ({"serve_port": 5}, True, {5})],
)
def test_serves_own_port_is_8000_unless_taken_or_told(stage, up, monkeypatch, settings, free, expected):
    monkeypatch.setattr(supervisor, "check_free", lambda *_: None)
    monkeypatch.setattr(supervisor, "is_free", lambda *_: free)
    monkeypatch.setattr(supervisor, "free_ports", lambda _: [4711])
    up(**settings)
    assert {stage.orders[0].serve_port} == expected


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "localhost"),  # noqa: S104 - a text
        ("::", "localhost"),
        ("::1", "[::1]"),
        ("box", "box"),
    ],
)
def test_its_address_is_one_that_a_browser_takes(stage, up, monkeypatch, host, shown):
    monkeypatch.setattr(supervisor, "check_free", lambda *_: None)
    monkeypatch.setattr(supervisor, "is_free", lambda *_: True)
    up(host=host, port=3000)
    assert any(text.startswith(f"Flux is at http://{shown}:3000 ") for text in stage.reports)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "10.0.0.7"}, True),
        ({"host": "box"}, True),
        ({"host": "10.0.0.7", "auth_enabled": True}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_it_says_when_everybody_may_do_everything(stage, up, monkeypatch, settings, told):
    monkeypatch.setattr(supervisor, "check_free", lambda *_: None)
    monkeypatch.setattr(supervisor, "is_free", lambda *_: True)
    up(**{"port": 3000} | settings)
    assert any("FLUX_AUTH_ENABLED" in text for text in stage.reports) == told


def test_with_tls_it_asks_and_tells_of_its_doors_by_https(stage, up, monkeypatch, tmp_path):
    pair = make_pair(tmp_path)
    asked = []
    monkeypatch.setattr(supervisor, "_answers", lambda *asks: not asked.append(asks))
    runs = []

    def note():
        runs.append(DataFolder(tmp_path / "data").run())
        stage.ask_to_stop()

    stage.on_report["Flux is at"] = note
    up(tls_cert=pair.certificate, tls_key=pair.key, port=3000)
    assert asked == [("https://localhost:3000/api/ready", pair.certificate)]
    (run,) = runs
    assert (run.url, run.tls_cert) == ("https://localhost:3000", str(pair.certificate))
    assert run.serve_url.startswith("https://")


def test_a_certificate_that_does_not_fit_is_refused_before_anything_starts(stage, up, tmp_path):
    pair = make_pair(tmp_path)
    with pytest.raises(Refused, match="cannot be read"):
        up(tls_cert=pair.certificate, tls_key=tmp_path / "none")
    assert stage.done == []
    assert not (tmp_path / "data").exists()


def test_a_door_is_known_by_its_own_certificate_whatever_that_names(tmp_path, eventually):
    ours, others = make_pair(tmp_path, "flux.example"), make_pair(tmp_path, "other")
    server = HTTPServer(("127.0.0.1", 0), Ready)
    server.socket = Certificate(*ours).context.wrap_socket(server.socket, server_side=True)
    with closing(server.socket):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://127.0.0.1:{server.server_port}/api/ready"
        try:
            eventually(lambda: supervisor._answers(url, ours.certificate))  # noqa: SLF001
            assert not supervisor._answers(url, others.certificate)  # noqa: SLF001
        finally:
            server.shutdown()
            thread.join(5)


class Ready(BaseHTTPRequestHandler):
    """A door that is ready."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_a_program_that_took_the_port_of_the_doors_is_none_of_them():
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet():
            connection, _ = other.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b'INFO {"server_id": "x"}\r\n')

        greeting = threading.Thread(target=greet)
        greeting.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}/api/ready"
        assert not supervisor._answers(url, None)  # noqa: SLF001
        greeting.join(5)
