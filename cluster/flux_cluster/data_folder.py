"""The data folder: one Flux at a time, and the run file that says where it is."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from flux_actors.errors import Refused
from flux_actors.native.joining import RUN_FILE
from flux_actors.shard.cold import FOLDER_PREFIX

_OWN: Final = 0o700


class Run(msgspec.Struct, frozen=True):
    """The run file: what `flux down` and `flux status` need. It holds no secret."""

    run_id: str
    pid: int
    created: float
    url: str
    serve_url: str
    nats_url: str
    ray_address: str
    ray_folder: str
    tls_cert: str = ""  # the certificate of the doors, where they have one
    config: str = ""  # the settings file, where there is one
    ready: bool = False


class DataFolder:
    """A folder that holds a log, its snapshots and the run file."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock: IO[Any] | None = None

    @property
    def logs(self) -> Path:
        """Where the output of background processes goes."""
        return self.root / "logs"

    @property
    def nats(self) -> Path:
        """Where the embedded log lives."""
        return self.root / "nats"

    @property
    def restoring(self) -> Path:
        """A file that is there while a restore fills the folder: what is in it is not whole."""
        return self.root / "restoring"

    def open(self, *, to_restore: bool = False) -> None:
        """Make the folder and take its lock for the life of this process; `to_restore` says what for.

        Raises:
            Refused: it cannot be written, another Flux runs on it, or a restore into it was not finished.
        """
        if self.restoring.exists() and not to_restore:
            raise Refused(
                f"a restore into {self.root} was not finished; begin it again with `flux restore`, or choose "
                "another folder with --data"
            )
        try:
            for folder in (self.root, self.logs, self.nats):
                folder.mkdir(_OWN, parents=True, exist_ok=True)
            for folder in (self.logs, self.nats):  # the root may be a folder of others, such as /srv
                folder.chmod(_OWN)
            self._lock = os.fdopen(os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600), "a")
        except OSError as error:
            raise Refused(
                f"the data folder {self.root} cannot be written ({error.strerror}); choose one with --data"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise Refused(self._taken()) from None
        for left in self.root.glob(f"{FOLDER_PREFIX}*"):  # by a shard that was killed as its store began
            shutil.rmtree(left, ignore_errors=True)

    def empty_log(self) -> None:
        """Remove the log, of which nobody has a file open."""
        shutil.rmtree(self.nats)
        self.nats.mkdir(_OWN)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def run(self) -> Run | None:
        """Return the run file's content, `None` when there is none."""
        try:
            return msgspec.json.decode((self.root / RUN_FILE).read_bytes(), type=Run)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def write_run(self, run: Run) -> None:
        """Write the run file, whole or not at all."""
        aside = self.root / f"{RUN_FILE}.tmp"
        write_secret(aside, msgspec.json.encode(run).decode())
        aside.replace(self.root / RUN_FILE)

    def forget_run(self) -> None:
        """Remove the run file."""
        (self.root / RUN_FILE).unlink(missing_ok=True)

    def _taken(self) -> str:
        run = self.run()
        where = f" (pid {run.pid}, {run.url})" if run is not None else ""
        return f"Flux already runs on {self.root}{where}; stop it with `flux down --data {self.root}`"


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on, in place of one that is there."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
