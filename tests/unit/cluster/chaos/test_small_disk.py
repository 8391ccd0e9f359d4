"""A disk that is full: what it takes, and who may have one."""

from __future__ import annotations

import subprocess

import pytest

from flux_actors.errors import Refused
from flux_cluster.chaos.small_disk import SmallDisk

SIZE_BYTES = 1024 * 1024


@pytest.fixture
def mounts(monkeypatch) -> list[list[str]]:
    """What would be run as root."""
    commands: list[list[str]] = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_it_is_of_its_owner_alone_and_as_large_as_asked(tmp_path, mounts):
    disk = SmallDisk(tmp_path, SIZE_BYTES)
    disk.mount()
    disk.unmount()
    made, taken = mounts
    assert made[:5] == ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700"]
    assert (made[-1], taken[-1]) == (str(tmp_path), str(tmp_path))


def test_a_folder_that_holds_something_is_not_hidden(tmp_path, mounts):
    (tmp_path / "precious").touch()
    with pytest.raises(Refused, match="would hide what is there"):
        SmallDisk(tmp_path, SIZE_BYTES).mount()
    assert mounts == []


def test_who_may_not_mount_is_told_so(tmp_path, monkeypatch):
    answer = subprocess.CompletedProcess([], 32, "", "mount: only root can do that\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(Refused, match="right to mount, which root has: mount: only root can do that"):
        SmallDisk(tmp_path, SIZE_BYTES).mount()
