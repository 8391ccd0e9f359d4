"""Reaching the log of a data folder, for commands that look after it: one that runs, or is started for it.

A server that is started here is noted in the run file, as one of `flux up` is: should this process be killed,
the next `flux up` or `flux down` ends it.
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
from flux_cluster.processes import RUN_ID, same_process

_LISTEN_S: Final = 300.0
_POLL_S: Final = 0.02


@contextmanager
def reached(settings: Settings) -> Iterator[NatsAccess]:
    """Give the way to the log that the settings name; the embedded one is started if Flux does not run.

    Raises:
        Refused: there is no log on the data folder.
    """
    folder = DataFolder(settings.data)
    run = folder.run()
    runs = run is not None and same_process(run.pid, run.created) is not None
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

    Raises:
        Refused: a Flux runs there.
    """
    folder.open(to_restore=to_restore)
    try:
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
