"""Ports: free ones are found, taken ones are refused with the option that changes them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import uuid
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_cluster import ports
from flux_cluster.ports import check_free, free_ports, is_free, wait_free


def unused(port):
    return is_free("127.0.0.1", port)


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_nobody_listens_on_is_free():
    (port,) = free_ports(1)
    check_free("127.0.0.1", port, "--port")
    assert is_free("127.0.0.1", port)


def test_looking_at_a_port_leaves_it_free():
    (port,) = free_ports(1)
    assert is_free("127.0.0.1", port)
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", port))


def test_a_taken_port_is_refused_with_the_option_that_changes_it(taken):
    assert not is_free("127.0.0.1", taken)
    with pytest.raises(Refused) as refused:
        check_free("127.0.0.1", taken, "--port")
    assert refused.value.message == (
        f"port {taken} on 127.0.0.1 is taken by another program; stop it or choose with --port"
    )


def test_a_port_that_doors_of_another_flux_share_is_taken():
    with closing(socket.socket()) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind(("127.0.0.1", 0))
        door.listen()
        assert not is_free("127.0.0.1", door.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "not a host", "2001:db8::1"])
def test_an_address_of_another_machine_is_refused_in_words(host):
    (port,) = free_ports(1)
    with pytest.raises(Refused, match=r"cannot listen on .*choose another with --host"):
        check_free(host, port, "--host")


def test_ports_are_all_different():
    found = free_ports(20)
    assert len(set(found)) == 20
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(20_000 <= port < given for port in found)
    assert all(is_free("127.0.0.1", port) for port in found)


class TestClaims:
    """What one process was given, no other gets, although nobody listens there yet."""

    @pytest.fixture
    def few(self, monkeypatch):
        """Four ports to choose from, the first of which is claimed; nobody else claims any of them."""
        monkeypatch.setattr(ports, "_CLAIM", f"\0flux-test-{uuid.uuid4().hex}-{{}}")
        offers = (free_ports(1)[0] for _ in range(100))
        first = next(port for port in offers if all(map(unused, range(port, port + 4))))
        monkeypatch.setattr(ports, "_BEHIND_RAYS", first)
        monkeypatch.setattr(ports, "_first_given_port", lambda: first + 4)
        return range(first, first + 4)

    def test_are_not_given_to_another_process(self, few):
        asks = "from flux_cluster import ports; ports._BEHIND_RAYS = {0}; ports._CLAIM = {2!r}; "
        asks += "ports._first_given_port = lambda: {1}; print(*ports.free_ports(3), flush=True); input()"
        code = asks.format(few[0], few[-1] + 1, ports._CLAIM)  # noqa: SLF001
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert sorted(map(int, other.stdout.readline().split())) == [*few[1:]]
            with pytest.raises(Unavailable, match="no free ports"):
                free_ports(1)
            other.kill()
            other.wait()
        assert sorted(free_ports(3)) == [*few[1:]]

    def test_are_not_made_on_a_port_that_is_taken(self, few):
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", few[1]))
            listener.listen()
            assert sorted(free_ports(2)) == [*few[2:]]
        assert free_ports(1) == [few[1]]

    def test_are_not_kept_without_end(self, monkeypatch):
        claims = deque()
        monkeypatch.setattr(ports, "_CLAIMS_MAX", 2)
        monkeypatch.setattr(ports, "_claims", claims)
        given = free_ports(3)
        held = [claim.getsockname() for claim in claims]
        for claim in claims:
            claim.close()
        assert held == [f"\0flux-port-{port}".encode() for port in given[1:]]

    def test_are_done_without_where_the_system_has_no_such_sockets(self, monkeypatch, few):
        monkeypatch.setattr(ports, "_CLAIM", "/no/such/folder/{}")
        assert sorted(free_ports(4)) == [*few]


@pytest.mark.parametrize("text", ["", "no numbers", "1024\t60999"])
def test_ports_are_found_whatever_the_system_says_it_gives(text, tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_GIVEN", tmp_path / "range")
    assert len(free_ports(3)) == 3
    (tmp_path / "range").write_text(text)
    assert len(free_ports(3)) == 3


def test_a_machine_without_free_ports_is_told_so(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda *_: False)
    with pytest.raises(Unavailable, match="no free ports"):
        free_ports(1)


def test_a_port_is_waited_for_until_it_is_free_and_no_longer_than_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        wait_free("127.0.0.1", port, 0.03)
        assert not is_free("127.0.0.1", port)
        threading.Timer(0.03, taken.close).start()
        wait_free("127.0.0.1", port, 5)
        assert is_free("127.0.0.1", port)
