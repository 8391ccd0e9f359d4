"""One real nats-server for the contract suites; the twins need nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from flux_cluster.data_folder import DataFolder
from flux_cluster.nats_server import NatsServer
from tests.conftest import wait_for
from tests.contract.s3 import fresh_url, in_environment, s3_server

START_S = 20.0


class RunningNats:
    """The embedded server, which a test may kill and start again."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self.access = server.access

    def start(self) -> None:
        self._server.start()
        wait_for(self._listens, START_S, "nats-server to listen")

    def kill(self) -> None:
        """`kill -9`: nothing is flushed or said goodbye to."""
        assert self._server.pid is not None
        os.kill(self._server.pid, 9)
        wait_for(lambda: not self._server.lives, START_S, "nats-server to end")

    def stop(self) -> None:
        pid = self._server.pid
        self._server.stop()
        assert pid is not None
        assert not psutil.pid_exists(pid)

    def _listens(self) -> bool:
        host, _, port = self.access.url.removeprefix("nats://").partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    folder.open()
    running = RunningNats(NatsServer(folder, {}))
    try:
        running.start()
        yield running
    finally:
        running.stop()
        folder.close()


@pytest.fixture(scope="session")
def s3_variables() -> Iterator[dict[str, str]]:
    """The variables of a local server that speaks S3."""
    with s3_server() as variables:
        yield variables


@pytest.fixture
def s3_url(s3_variables: dict[str, str]) -> Iterator[str]:
    """A place in S3 in which nothing is."""
    with in_environment(s3_variables):
        yield fresh_url()
