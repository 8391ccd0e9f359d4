"""Ports on this machine."""

from __future__ import annotations

import atexit
import errno
import secrets
import socket
import time
from collections import deque
from pathlib import Path
from typing import Final

from flux_actors.errors import Refused, Unavailable

_POLL_S: Final = 0.02
_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUALLY_GIVEN: Final = 32_768
_BEHIND_RAYS: Final = 20_000  # Ray's workers listen on those before
_AT_LEAST: Final = 1_000
_CLAIM: Final = "\0flux-port-{}"  # a Unix socket without a file
_CLAIMS_MAX: Final = 200  # who asks for more has long used those before

_claims: deque[socket.socket] = deque()


def check_free(host: str, port: int, option: str) -> None:
    """Raise `Refused` when `port` cannot be listened on; `option` is what the user may change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"port {port} on {host} is taken by another program; stop it or choose with {option}"
            else:
                text = f"cannot listen on {host}:{port} ({error.strerror}); choose another with {option}"
            raise Refused(text) from None


def is_free(host: str, port: int) -> bool:
    """Whether `port` can be listened on."""
    try:
        check_free(host, port, "")
    except Refused:
        return False
    return True


def wait_free(host: str, port: int, timeout_s: float) -> None:
    """Return when `port` can be listened on, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not is_free(host, port) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on, all different.

    They are not among those that the system gives to whoever asks for any: what is free now would else be
    given to a connection, or to another server that starts, before it is used. Nor does another process get
    one of them from here while this one lives, whether it is used already or not, or until this one has
    asked for two hundred more.

    Raises:
        Unavailable: there are not so many.
    """
    candidates = range(_BEHIND_RAYS, _first_given_port())
    found: list[int] = []
    for port in secrets.SystemRandom().sample(candidates, len(candidates)):
        if len(found) == count:
            break
        if _claim(port):
            found.append(port)
    if len(found) < count:
        raise Unavailable("this machine has no free ports; end some programs")
    return found


def _claim(port: int) -> bool:
    """Return whether `port` is free and no other process has claimed it; it is claimed by this one then.

    The system takes a claim back when the process ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(_CLAIM.format(port))
    except OSError as error:
        claim.close()
        if error.errno == errno.EADDRINUSE:
            return False
        return is_free("127.0.0.1", port)  # a system that has no such sockets
    if not is_free("127.0.0.1", port):
        claim.close()
        return False
    _claims.append(claim)
    if len(_claims) > _CLAIMS_MAX:
        _claims.popleft().close()
    return True


@atexit.register
def _let_go() -> None:
    """Close what is claimed, as everybody does who opens something."""
    while _claims:
        _claims.pop().close()


def _first_given_port() -> int:
    """Return the first port that the system gives to whoever asks for any."""
    try:
        return max(int(_GIVEN.read_text().split()[0]), _BEHIND_RAYS + _AT_LEAST)
    except (OSError, ValueError, IndexError):
        return _USUALLY_GIVEN
