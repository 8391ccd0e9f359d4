"""What `flux backup`, `restore` and `verify` ask for, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.backup.manifest import FileFacts, Manifest, Part, Segment
from flux_actors.backup.restoring import Restored
from flux_actors.cli import joining
from flux_actors.cli.main import app
from flux_actors.errors import Corrupt
from flux_actors.past.comparing import Compared
from flux_cluster import backups, verifying

FILE = FileFacts("log/0/a.blocks", 3 << 20, "00")
MANIFEST = Manifest(
    1, "0", "log-id", 1, 2, [Part(0, 3, 5, "", [Segment(FILE, 3, 5, 9)]), Part(1, 1, 0, "")], FILE
)
SAME = Compared(0, 7, 0, 3, 0, [], [], 0)


def flux(*arguments: str, **environment: str) -> Any:
    return CliRunner(env={"FLUX_DATA": None, **environment}).invoke(app, arguments)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def back_up(settings: Any, destination: str, kept: int | None, say: Any) -> Manifest:
        say("on the way")
        asked.append((str(settings.data), settings.nats_url, destination, kept))
        return MANIFEST

    def restore_from(settings: Any, origin: str, at_us: int | None, report: Any) -> Restored:
        asked.append((str(settings.data), settings.nats_url, origin, at_us))
        return Restored(2_000_000, 4, [3, 1], 1_000_000)

    monkeypatch.setattr(backups, "back_up", back_up)
    monkeypatch.setattr(backups, "check", lambda destination, report: asked.append(destination) or MANIFEST)
    monkeypatch.setattr(backups, "restore_from", restore_from)
    return asked


def test_backup_tells_what_is_in_it(asked: list[Any]) -> None:
    done = flux("backup", "/mnt/flux", "--data", "d", "--keep", "7")
    assert (done.exit_code, asked) == (0, [("d", None, "/mnt/flux", 7)])
    assert done.stdout == "backed up 3 blocks in 2 partitions: 2 files, 6.0 MiB\n"
    assert done.stderr == "on the way\n"


def test_backup_as_json_is_one_object(asked: list[Any]) -> None:
    found = json.loads(flux("backup", "s3://b/x", "--nats-url", "nats://log:1", "-o", "json").stdout)
    assert asked == [("flux-data", "nats://log:1", "s3://b/x", None)]
    assert (found["log"], found["blocks"], found["partitions"][0]) == (
        "log-id",
        3,
        {"partition": 0, "first": 3, "last": 5},
    )


def test_check_takes_no_backup(asked: list[Any]) -> None:
    done = flux("backup", "/mnt/flux", "--check")
    assert (done.exit_code, asked) == (0, ["/mnt/flux"])
    assert done.stdout.startswith("verified 3 blocks")


def test_restore_goes_up_to_the_time_that_is_said(asked: list[Any]) -> None:
    done = flux("restore", "/mnt/flux", "--data", "new", "--at", "1970-01-01T00:00:01Z")
    assert (done.exit_code, asked) == (0, [("new", None, "/mnt/flux", 1_000_000)])
    assert done.stdout == (
        "restored 4 blocks in 2 partitions up to 1970-01-01T00:00:01+00:00, "
        "from the backup of 1970-01-01T00:00:02+00:00\n"
    )


def test_restore_as_json_is_one_object(asked: list[Any]) -> None:
    done = flux("restore", "/mnt/flux", "--data", "new", "--nats-url", "nats://log:1", "-o", "json")
    assert asked == [("new", "nats://log:1", "/mnt/flux", None)]
    assert json.loads(done.stdout) == {
        "backup": "1970-01-01T00:00:02+00:00",
        "blocks": 4,
        "ends": [3, 1],
        "until": "1970-01-01T00:00:01+00:00",
    }


def test_restore_without_a_new_folder_is_no_restore(asked: list[Any]) -> None:
    assert flux("restore", "/mnt/flux").exit_code == 2
    assert flux("restore", "/mnt/flux", "--data", "new", "--at", "noon").exit_code == 1
    assert asked == []


def test_what_goes_wrong_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise Corrupt("a file is damaged")

    monkeypatch.setattr(backups, "back_up", fail)
    done = flux("backup", "/mnt/flux")
    assert (done.exit_code, done.stderr) == (1, "flux: a file is damaged\n")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Compared]:
    found: list[Compared] = []
    monkeypatch.setattr(joining, "join_flux", lambda data: None)
    monkeypatch.setattr(verifying, "verify", lambda settings, report: found)
    return found


def test_flux_that_is_as_its_log_says_exits_0(found: list[Compared]) -> None:
    found += [SAME, SAME._replace(partition=1, since=4, left_out=2)]
    done = flux("verify")
    assert done.exit_code == 0
    assert done.stdout == (
        "partition 0 at block 7: 3 entities are what the log says from its beginning\n"
        "partition 1 at block 7: 3 entities are what the log says from its snapshot at 4; "
        "2 left out, whose reducer waits for an order\n"
    )


def test_difference_exits_1_and_is_told(found: list[Compared]) -> None:
    found += [
        SAME,
        SAME._replace(partition=1, different=["clock"], entities_different=["a/1"], buckets_different=1),
    ]
    done = flux("verify")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1] == (
        "partition 1 at block 7 DIFFERS from what the log says from its beginning: "
        "at least 1 entities, such as a/1; clock"
    )
    rows = json.loads(flux("verify", "-o", "json").stdout)
    assert [row["same"] for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("address", "option", "joined"),
    [
        (None, [], Path("flux-data")),
        ("head:6379", [], None),  # the cluster's address: there may be no `flux up`, nor its run file
        ("head:6379", ["--data", "elsewhere"], Path("elsewhere")),
    ],
)
def test_verify_joins_by_the_address_of_the_cluster_or_else_by_the_data_folder(
    found: list[Compared],
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    option: list[str],
    joined: Path | None,
) -> None:
    seen: list[Path | None] = []
    monkeypatch.setattr(joining, "join_flux", seen.append)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert flux("verify", *option).exit_code == 0
    assert seen == [joined]
