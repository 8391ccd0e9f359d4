"""The data folder: one Flux at a time, and a run file that is whole or not there."""

from __future__ import annotations

import os
import stat
from contextlib import closing

import msgspec
import psutil
import pytest

from flux_actors.errors import Refused
from flux_cluster.data_folder import DataFolder, Run, write_secret

RUN = Run(
    run_id="id",
    pid=4711,
    created=12.5,
    url="http://localhost:3000",
    serve_url="http://localhost:8000",
    nats_url="nats://127.0.0.1:1",
    ray_address="127.0.0.1:2",
    ray_folder="/ray",
    ready=True,
)


@pytest.fixture
def folder(tmp_path):
    with closing(DataFolder(tmp_path / "new" / "data")) as folder:
        yield folder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_opening_removes_the_cold_store_of_a_shard_that_was_killed_as_it_began(folder):
    left = folder.root / "cold-x1y2"
    left.mkdir(parents=True)
    (left / "data.mdb").write_bytes(b"rows")
    (folder.root / "other").mkdir()
    folder.open()
    assert not left.exists()
    assert (folder.root / "other").exists()


def test_opening_makes_what_is_missing_and_keeps_the_log_to_its_owner(folder):
    folder.open()
    assert folder.logs.is_dir()
    assert mode(folder.nats) == 0o700


def test_what_it_makes_is_for_its_owner_alone_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        folder.open()
        folder.write_run(RUN)
    finally:
        os.umask(before)
    made = [folder.root, *folder.root.rglob("*")]
    assert {path.name: mode(path) & 0o077 for path in made} == {path.name: 0 for path in made}
    assert {"lock", "run.json", "logs", "nats"} <= {path.name for path in made}


def test_a_folder_of_others_keeps_its_mode(folder):
    folder.root.mkdir(0o755, parents=True)
    folder.root.chmod(0o755)
    folder.open()
    assert mode(folder.root) == 0o755


def test_a_second_one_on_the_same_folder_is_refused_and_told_where_the_first_is(folder):
    folder.open()
    folder.write_run(RUN)
    with closing(DataFolder(folder.root)) as second, pytest.raises(Refused, match="already runs") as refused:
        second.open()
    for word in (str(folder.root), "4711", RUN.url, "flux down --data"):
        assert word in refused.value.message


def test_one_that_was_refused_holds_no_file_open(folder):
    folder.open()
    refused = DataFolder(folder.root)
    with closing(refused):
        with pytest.raises(Refused):
            refused.open()
        held = [file.path for file in psutil.Process().open_files()]
        assert held.count(str(folder.root / "lock")) == 1


def test_a_folder_that_was_given_back_can_be_taken(folder):
    folder.open()
    folder.close()
    with closing(DataFolder(folder.root)) as second:
        second.open()


def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"cannot be written .*choose one with --data"):
        DataFolder(tmp_path / "file" / "data").open()


def test_a_relative_folder_is_the_same_wherever_one_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(tmp_path.joinpath("data").relative_to(tmp_path))
    monkeypatch.chdir("/")
    assert folder.root == tmp_path / "data"


def test_a_run_is_read_back_as_it_was_written_and_holds_no_secret(folder):
    folder.open()
    folder.write_run(RUN)
    assert folder.run() == RUN
    assert {"password", "token"}.isdisjoint(Run.__struct_fields__)


def test_a_run_is_replaced_as_a_whole(folder):
    folder.open()
    folder.write_run(RUN)
    folder.write_run(msgspec.structs.replace(RUN, ready=False, url="http://x"))
    assert folder.run().url == "http://x"
    assert [path.name for path in folder.root.glob("run.json*")] == ["run.json"]


def test_without_a_run_file_there_is_no_run(folder, tmp_path):
    assert folder.run() is None
    folder.open()
    assert folder.run() is None
    folder.write_run(RUN)
    folder.forget_run()
    folder.forget_run()
    assert folder.run() is None
    (tmp_path / "file").write_text("")
    assert DataFolder(tmp_path / "file").run() is None


@pytest.mark.parametrize("text", ["", "{", "{}", '{"run_id": 5}', "[]"])
def test_a_run_file_that_is_none_is_no_run(folder, text):
    folder.open()
    (folder.root / "run.json").write_text(text)
    assert folder.run() is None


def test_a_secret_is_its_owners_alone_from_the_first_byte_on(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("older, and readable by all")
    path.chmod(0o644)
    modes = []
    opened = os.open

    def watched(*arguments):
        number = opened(*arguments)
        modes.append(stat.S_IMODE(os.fstat(number).st_mode))
        return number

    monkeypatch.setattr(os, "open", watched)
    write_secret(path, "new")
    assert (modes, mode(path), path.read_text()) == ([0o600], 0o600, "new")


def test_a_secret_is_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
    write_secret(tmp_path / "secret", "new")
    assert (tmp_path / "elsewhere").read_text() == "untouched"


def test_folder_of_an_unfinished_restore_is_for_the_next_restore_alone(folder):
    folder.root.mkdir(parents=True)
    write_secret(folder.restoring, "backup")
    with pytest.raises(Refused, match="was not finished; begin it again"):
        folder.open()
    folder.open(to_restore=True)
    folder.close()
    folder.restoring.unlink()
    folder.open()
