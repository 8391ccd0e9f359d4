"""Becomes a program whose `fsync` and `fdatasync` wait for whoever holds the listener; see `slow_disk.py`.

    python slow_disk_launcher.py SOCKET COMMAND...

It is run by its path, in a process of its own, and imports nothing of Flux: so it starts in an instant.
"""

from __future__ import annotations

import array
import ctypes
import os
import platform
import socket
import struct
import sys

ARCHITECTURES = {  # AUDIT_ARCH, and the numbers of seccomp, fsync, fdatasync
    "x86_64": (0xC000003E, 317, 74, 75),
    "aarch64": (0xC00000B7, 277, 82, 83),
}
PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
NEW_LISTENER = 1 << 3
WAIT_KILLABLE = 1 << 5  # a held call ends by nothing but a kill; Linux 5.19
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ASK, ALLOW = 0x7FC00000, 0x7FFF0000
NUMBER_AT, ARCH_AT = 0, 4  # in what the filter sees of a call


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_of(arch: int, *numbers: int) -> list[tuple[int, int, int, int]]:
    """Return a filter that asks before some calls; a step is code, jump if true, jump if false, operand."""
    count = len(numbers)
    asked = [(IF_EQUAL, count - at, 0, number) for at, number in enumerate(numbers)]
    beginning = [(LOAD, 0, 0, ARCH_AT), (IF_EQUAL, 0, count + 1, arch), (LOAD, 0, 0, NUMBER_AT)]
    return [*beginning, *asked, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ASK)]


def listen() -> int:
    """Install the filter and return its listener."""
    arch, seccomp, *numbers = ARCHITECTURES[platform.machine()]
    instructions = filter_of(arch, *numbers)
    code = b"".join(struct.pack("HBBI", *one) for one in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    program = Program(len(instructions), code)
    for flags in (NEW_LISTENER | WAIT_KILLABLE, NEW_LISTENER):
        listener = libc.syscall(seccomp, SET_MODE_FILTER, flags, ctypes.byref(program))
        if listener >= 0:
            return int(listener)
    raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Install the filter, send its listener back, and become the program."""
    with socket.socket(fileno=int(sys.argv[1])) as back:
        try:
            listener = listen()
        except (OSError, KeyError) as error:
            back.sendall(f"{error!r}".encode())
            sys.exit(1)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))
        back.sendmsg([b"listener"], [rights])
        os.close(listener)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
