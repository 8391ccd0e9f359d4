"""Running the launcher: orders by standard input, progress, an answer, or a reason why there is none."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time

import psutil
import pytest

from flux_actors.errors import Unavailable
from flux_cluster import launcher as launcher_module
from flux_cluster.launcher import Launcher

SECRET = "secret-of-nats"
TOLD_TO_END = "cat > %s; echo '{\"ok\": true}'"


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Make a launcher whose process is a shell command; it is ended after the test."""
    real, made = subprocess.Popen, []

    def make(command, environment=None):
        def instead(module, **options):
            make.command, make.environment = module, options["env"]
            return real(["/bin/sh", "-c", command], **options)

        monkeypatch.setattr(launcher_module.subprocess, "Popen", instead)
        made.append(Launcher({"PATH": os.environ["PATH"]} | (environment or {}), tmp_path / "launcher.log"))
        monkeypatch.setattr(launcher_module.subprocess, "Popen", real)
        return made[-1]

    yield make
    for one in made:
        one.end()
        for stream in (one._process.stdin, one._process.stdout):  # noqa: SLF001 - ours to close
            stream.close()


def test_orders_arrive_whole_on_standard_input_and_nowhere_else(launch, tmp_path):
    launcher = launch(TOLD_TO_END % (tmp_path / "orders"), {"FLUX_RUN_ID": "id"})
    launcher.obey({"password": SECRET}, 20.0)
    orders = (tmp_path / "orders").read_bytes()
    assert pickle.loads(orders) == {"password": SECRET}  # noqa: S301 - our own
    assert launch.command == [sys.executable, "-m", "flux_cluster.launch"]
    assert launch.environment["FLUX_RUN_ID"] == "id"
    assert SECRET not in repr((launch.command, launch.environment))


@pytest.mark.parametrize(
    ("answer", "door"), [('{"ok": true}', None), ('{"ok": true, "door": "http://x"}', "http://x")]
)
def test_the_answer_may_say_where_a_door_is(launch, answer, door):
    assert launch(f"cat > /dev/null; echo '{answer}'").obey("orders", 20.0) == door


def test_progress_is_reported_before_the_answer(launch):
    lines = '{"progress": "one"}\n{"progress": "two"}\n{"ok": true}'
    reported = []
    launch(f"cat > /dev/null; echo '{lines}'").obey("orders", 20.0, reported.append)
    assert reported == ["one", "two"]


def test_what_could_not_be_done_is_told_in_its_own_words(launch):
    launcher = launch("""cat > /dev/null; echo '{"ok": false, "error": "this log has 4 partitions"}'""")
    with pytest.raises(Unavailable, match=r"^this log has 4 partitions$"):
        launcher.obey("orders", 20.0)


@pytest.mark.parametrize("ending", ["true", "echo nonsense", "kill -9 $$", "echo '{\"ok\": '"])
def test_one_that_ends_without_an_answer_is_told_with_its_log(launch, tmp_path, ending):
    launcher = launch(f"cat > /dev/null; {ending}")
    with pytest.raises(Unavailable, match="ended without an answer") as told:
        launcher.obey("orders", 20.0)
    assert str(tmp_path / "launcher.log") in told.value.message


def test_one_that_is_dead_before_its_orders_is_told_as_well(launch, tmp_path):
    """The import of Ray may fail before the orders are read."""
    launcher = launch("exit 1")
    deadline = time.monotonic() + 20.0
    while psutil.Process(launcher.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with pytest.raises(Unavailable, match="ended without an answer"):
        launcher.obey("orders", 20.0)


def test_silence_ends_it(launch, tmp_path):
    launcher = launch("cat > /dev/null; exec sleep 60")
    with pytest.raises(Unavailable, match="did not do its part"):
        launcher.obey("orders", 0.01)
    assert not psutil.pid_exists(launcher.pid)


def test_it_is_ended_as_soon_as_it_has_answered(launch):
    launcher = launch("cat > /dev/null; echo '{\"ok\": true}'; exec sleep 60")
    launcher.obey("orders", 20.0)
    assert not psutil.pid_exists(launcher.pid)
    launcher.end()


def test_what_it_says_besides_goes_to_its_log_behind_what_is_there(launch, tmp_path):
    (tmp_path / "launcher.log").write_text("before\n")
    launch("cat > /dev/null; echo trouble >&2; echo '{\"ok\": true}'").obey("orders", 20.0)
    assert (tmp_path / "launcher.log").read_text() == "before\ntrouble\n"
