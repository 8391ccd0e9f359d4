"""A network that breaks: what arrives, what does not, and what becomes of a connection when it is mended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from flux_cluster.chaos.relay import Relay, Trouble, owners_of
from tests.conftest import wait_for

SOON_S = 20.0
NOT_YET_S = 1.0  # in which what is swallowed would have come


class Echo:
    """A server that says what it hears, and keeps what it has heard."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(65_536):
                self.heard += data
                connection.sendall(data)

    def close(self) -> None:
        with suppress(OSError):  # a second time
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as echo:
        yield echo


@pytest.fixture
def relay(echo) -> Iterator[Relay]:
    with Relay(echo.port, seed=3) as relay:
        yield relay


@pytest.fixture
def connect(relay):
    """Connect through the relay; what was connected is closed in the end."""
    made = []

    def connect() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", relay.port), SOON_S))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def said(connection: socket.socket, data: bytes = b"hello") -> bytes:
    """Return what comes back; nothing when the connection is torn."""
    with suppress(ConnectionError):
        connection.sendall(data)
        return received(connection, len(data))
    return b""


def received(connection: socket.socket, count: int) -> bytes:
    found = b""
    with suppress(ConnectionError):
        while len(found) < count and (data := connection.recv(65_536)):
            found += data
    return found


def test_bytes_go_both_ways_as_they_are(connect):
    data = os.urandom(3_000_000)
    connection = connect()
    sending = threading.Thread(target=connection.sendall, args=(data,))
    sending.start()
    assert received(connection, len(data)) == data
    sending.join(SOON_S)


def test_a_cut_tears_what_is_there_and_nothing_that_comes(relay, connect):
    before = connect()
    assert said(before) == b"hello"
    relay.cut()
    assert received(before, 1) == b""
    assert relay.cuts == 1
    assert said(connect()) == b"hello"


def test_a_share_of_the_connections_is_cut(relay, connect):
    connections = [connect() for _ in range(20)]
    assert all(said(one) == b"hello" for one in connections)
    relay.cut(0.5)
    assert 0 < relay.cuts < 20
    assert sum(said(one) == b"" for one in connections) == relay.cuts


def test_who_is_refused_is_torn_and_may_come_when_it_is_mended(relay, connect):
    before = connect()
    assert said(before) == b"hello"
    relay.suffer(Trouble(refuses=True))
    assert (received(before, 1), said(connect())) == (b"", b"")
    relay.heal()
    assert said(connect()) == b"hello"


def test_a_delay_is_one_of_each_way_and_bounds_nothing(relay, connect):
    connection = connect()
    assert said(connection) == b"hello"
    relay.suffer(Trouble(delay_s=1.0))
    began = time.monotonic()
    pieces = [b"%03d" % number for number in range(50)]
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(0.001)  # each a piece of its own
    assert received(connection, 150) == b"".join(pieces)
    assert 2.0 <= time.monotonic() - began < 50 * 1.0
    relay.heal()
    began = time.monotonic()
    assert said(connection) == b"hello"  # nothing of it was lost, so it goes on
    assert time.monotonic() - began < 1.9


@pytest.mark.parametrize("trouble", [Trouble(loses_down=True), Trouble(loses_up=True)], ids=["down", "up"])
def test_a_direction_dies_silently_and_such_a_connection_is_torn_when_it_is_mended(
    relay, connect, echo, trouble
):
    connection = connect()
    assert said(connection) == b"hello"
    relay.suffer(trouble)
    connection.sendall(b"lost")
    if trouble.loses_down:
        wait_for(lambda: echo.heard == b"hellolost", SOON_S, "what still arrives")
    connection.settimeout(NOT_YET_S)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    assert echo.heard == (b"hellolost" if trouble.loses_down else b"hello")
    connection.settimeout(SOON_S)
    relay.heal()
    assert received(connection, 1) == b""
    assert said(connect()) == b"hello"


def test_a_trouble_is_for_the_processes_that_it_is_said_of(relay, connect):
    ours = connect()
    assert said(ours) == b"hello"
    code = (
        "import socket, sys\n"
        f"one = socket.create_connection(('127.0.0.1', {relay.port}), {SOON_S})\n"
        "one.sendall(b'x'); print(one.recv(1), flush=True)\n"
        "try: print(one.recv(1), flush=True)\n"
        "except OSError: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "b'x'\n"
        assert sorted(owners_of(relay.port).values()) == sorted([os.getpid(), other.pid])
        relay.suffer(Trouble(refuses=True), lambda pid: pid == other.pid)
        assert other.stdout.readline() in {"b''\n", ""}  # torn: an end, or an error
    assert (said(ours), said(connect())) == (b"hello", b"hello")
    relay.suffer(Trouble(refuses=True), lambda pid: pid == os.getpid())
    assert (said(ours), said(connect())) == (b"", b"")


def test_troubles_add_up_and_each_is_healed_alone(relay, connect, echo):
    connection = connect()
    assert said(connection) == b"hello"
    slow = relay.suffer(Trouble(delay_s=0.1))
    dead = relay.suffer(Trouble(loses_up=True))
    connection.sendall(b"lost")
    connection.settimeout(NOT_YET_S)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    relay.heal(slow)
    with pytest.raises(TimeoutError):  # it is still dead
        connection.recv(1)
    slow = relay.suffer(Trouble(delay_s=0.1))
    connection.settimeout(SOON_S)
    relay.heal(dead)
    assert received(connection, 1) == b""
    began = time.monotonic()
    assert said(connect()) == b"hello"
    assert time.monotonic() - began >= 0.2  # and slow since then
    relay.heal(slow)
    assert echo.heard == b"hellohello"


def test_a_trouble_that_is_healed_leaves_another_process_its_own(relay, connect):
    other = relay.suffer(Trouble(refuses=True), lambda pid: pid != os.getpid())
    ours = relay.suffer(Trouble(refuses=True), lambda pid: pid == os.getpid())
    assert said(connect()) == b""
    relay.heal(other)
    assert said(connect()) == b""
    relay.heal(ours)
    assert said(connect()) == b"hello"


def test_a_direction_that_is_mended_while_the_other_is_not_tears_what_lost_bytes(relay, connect, echo):
    connection = connect()
    assert said(connection) == b"hello"
    up = relay.suffer(Trouble(loses_up=True))
    relay.suffer(Trouble(loses_down=True))
    connection.sendall(b"lost")
    connection.settimeout(NOT_YET_S)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(SOON_S)
    relay.heal(up)
    assert received(connection, 1) == b""  # else what follows would arrive behind a hole
    assert echo.heard == b"hello"


def test_a_trouble_knows_the_connections_that_it_has_met(relay, connect):
    nobody = relay.suffer(Trouble(delay_s=0.001), lambda pid: pid != os.getpid())
    before = connect()
    assert said(before) == b"hello"
    ours = relay.suffer(Trouble(delay_s=0.001), lambda pid: pid == os.getpid())
    after = connect()
    assert said(after) == b"hello"
    assert (nobody.met, ours.met) == (set(), {before.getsockname()[1], after.getsockname()[1]})


def test_a_server_that_is_away_is_away_behind_it_too(relay, connect, echo):
    echo.close()
    assert said(connect()) == b""
