"""Ports on this machine."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from typing import Final

from flux_actors.errors import Refused

_POLL_S: Final = 0.02


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
    """Return ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
