"""Reaching the log of a data folder, for commands that look after it: one that runs, or is started for it.

A server that is started here is noted in the run file, as one of `flux up` is: should this process be killed,
whoever opens the folder next ends it. Two servers on one store would each overwrite what the other has: so
what a killed `flux up` left is used while it serves, and never stands beside another.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import psutil

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings, without_secrets
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.nats_server import ALWAYS, NatsServer, known_access
from flux_cluster.processes import RUN_ID, end_all, of_run, same_process

_LISTEN_S: Final = 300.0
_POLL_S: Final = 0.02
_GRACE_S: Final = 10.0


@contextmanager
def reached(settings: Settings) -> Iterator[NatsAccess]:
    """Give the way to the log that the settings name; the embedded one is started if Flux does not run.

    Raises:
        Refused: there is no log on the data folder.
    """
    folder = DataFolder(settings.data)
    run = folder.run()
    runs = run is not None and _serves(run)
    if settings.nats_url is not None or (runs and run is not None and not known_access(folder)):
        yield external(settings, run.nats_url if run is not None else "")
    elif runs and (access := known_access(folder)) is not None:
        yield access
    else:
        if not (folder.nats / "store").is_dir():
            raise Refused(
                f"there is no log on {folder.root}; name the data folder with --data, or the log with "
                "--nats-url"
            )
        with started(folder) as access:
            yield access


@contextmanager
def started(folder: DataFolder, *, sync: str = ALWAYS, to_restore: bool = False) -> Iterator[NatsAccess]:
    """Run nats-server on a data folder on which no Flux runs.

    For a restore the store is emptied before.

    Raises:
        Refused: a Flux runs there, or was killed and left something running.
    """
    folder.open(to_restore=to_restore)
    try:
        _end_left(folder)
        if to_restore:
            folder.empty_log()
        run_id = uuid.uuid4().hex
        server = NatsServer(folder, without_secrets(os.environ) | {RUN_ID: run_id}, sync)
        folder.write_run(_run_of(run_id, server.access.url))
        server.start()
        try:
            _await_listening(server)
            yield server.access
        finally:
            server.stop()
            folder.forget_run()
    finally:
        folder.close()


def _serves(run: Run) -> bool:
    """Whether a `flux up` lives, or lived and left processes that may go on serving."""
    return same_process(run.pid, run.created) is not None or (bool(run.url) and bool(of_run(run.run_id)))


def _end_left(folder: DataFolder) -> None:
    """End what a command like these left when it was killed; its folder is ours now.

    Raises:
        Refused: it is of a `flux up`, which may be serving.
    """
    run = folder.run()
    if run is None:
        return
    left = of_run(run.run_id)
    if left and run.url:
        raise Refused(
            f"a Flux on {folder.root} was killed and left processes; end them with "
            f"`flux down --data {folder.root}`"
        )
    end_all(left, _GRACE_S)
    folder.forget_run()


def _await_listening(server: NatsServer) -> None:
    """Return when a server listens: it reads its store before, which takes a second for some gigabytes.

    Raises:
        Unavailable: it ended, or does not begin to.
    """
    address, port = server.access.url.removeprefix("nats://").split(":")
    deadline = time.monotonic() + _LISTEN_S
    while server.lives and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((address, int(port))) == 0:
                return
        time.sleep(_POLL_S)
    raise Unavailable("nats-server did not start on the data folder; its logs/nats.log says why")


def external(settings: Settings, known_url: str = "") -> NatsAccess:
    """Return the way to a NATS server of somebody else."""
    return replace(NatsAccess.of_settings(settings), url=settings.nats_url or known_url)


def _run_of(run_id: str, nats_url: str) -> Run:
    created = psutil.Process().create_time()
    return Run(
        run_id, os.getpid(), created, url="", serve_url="", nats_url=nats_url, ray_address="", ray_folder=""
    )
