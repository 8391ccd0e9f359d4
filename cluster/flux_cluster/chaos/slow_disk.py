"""A disk that is slow to sync, for real: the kernel asks us before a program's `fsync` is done.

A program is started through a launcher that installs a seccomp filter for `fsync` and `fdatasync` alone
(seccomp_unotify(2)) and hands its listener back over a socket, then becomes the program. From then on each
such call of any of its threads waits until we answer. We answer "go on" when the delay is over, and the call
is made then: nothing is faked, it just takes longer, also in a static binary such as nats-server. Calls are
held side by side, as a disk with a queue holds them. All other system calls never leave the kernel.

No right is needed for it: the filter holds for the program and its children, which can gain none either. When
this process ends, held and later calls fail (ENOSYS); so it must outlive the program.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import heapq
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flux_actors.errors import Unavailable

_LAUNCHER: Final = Path(__file__).with_name("slow_disk_launcher.py")
_START_S: Final = 10.0
_RECEIVE: Final = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_ANSWER: Final = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_GO_ON: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ENDED: Final = {errno.ENOENT, errno.EBADF, errno.EINTR}  # the thread that asked was killed meanwhile


class _Call(ctypes.Structure):
    """`struct seccomp_notif`."""

    _fields_ = (
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("number", ctypes.c_int),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class _Answer(ctypes.Structure):
    """`struct seccomp_notif_resp`."""

    _fields_ = (
        ("id", ctypes.c_uint64),
        ("value", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


class SlowDisk:
    """Starts programs whose syncs take `delay_s` longer, each; it may be changed at any time."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.syncs = 0  # that programs have asked for

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program as `subprocess.Popen` does.

        Raises:
            Unavailable: this kernel does not let a process hold another's system calls.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                launcher = [sys.executable, "-P", str(_LAUNCHER), str(theirs.fileno()), *command]
                program = subprocess.Popen(launcher, pass_fds=[theirs.fileno()], **options)
            ours.settimeout(_START_S)
            try:
                listener = _received(ours)
            except (OSError, ValueError) as error:
                program.kill()
                program.wait()
                raise Unavailable(f"the syncs of a process cannot be held up here ({error})") from error
        threading.Thread(target=self._hold, args=(listener,), name="slow disk", daemon=True).start()
        return program

    def _hold(self, listener: int) -> None:
        """Answer each call when its time has come, until nobody is left who could call."""
        held: list[tuple[float, int]] = []
        waiting = select.poll()
        waiting.register(listener, select.POLLIN)
        try:
            while True:
                wait_ms = max(0.0, held[0][0] - time.monotonic()) * 1000 if held else None
                events = waiting.poll(wait_ms)
                if any(event & (select.POLLHUP | select.POLLERR) for _, event in events):
                    return
                if events:
                    with suppress(InterruptedError, FileNotFoundError):
                        heapq.heappush(held, (time.monotonic() + self.delay_s, _receive(listener)))
                        self.syncs += 1
                while held and held[0][0] <= time.monotonic():
                    _let_go(listener, heapq.heappop(held)[1])
        finally:
            os.close(listener)


def _received(ours: socket.socket) -> int:
    """Return the listener that the launcher sends, or say why it sent none."""
    text, control, _, _ = ours.recvmsg(1024, socket.CMSG_SPACE(array.array("i").itemsize))
    if not control:
        raise ValueError(text.decode() or "the launcher ended")
    return int(array.array("i", control[0][2])[0])


def _receive(listener: int) -> int:
    call = _Call()
    fcntl.ioctl(listener, _RECEIVE, call)
    return int(call.id)


def _let_go(listener: int, call: int) -> None:
    try:
        fcntl.ioctl(listener, _ANSWER, _Answer(call, 0, 0, _GO_ON))
    except OSError as error:
        if error.errno not in _ENDED:
            raise
