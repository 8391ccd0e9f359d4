"""A disk that can be full: a folder with a small filesystem of its own (tmpfs) and something that fills it.

Mounting is root's. Whoever may not is told so, instead of a fault that does not happen.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Final

import psutil

from flux_actors.errors import Refused

_BALLAST: Final = "ballast"
_MOUNT_S: Final = 20.0
_CHUNK_BYTES: Final = 65_536


class SmallDisk:
    """A filesystem of `size_bytes` at `folder`, which must be there and empty."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._ballast = folder / _BALLAST
        self._size_bytes = size_bytes

    def mount(self) -> None:
        """Make it.

        Raises:
            Refused: this user may not, or the folder holds something.
        """
        if any(self.folder.iterdir()):
            raise Refused(f"{self.folder} is not empty; a small disk would hide what is there")
        options = f"size={self._size_bytes},mode=0700"
        _run(["mount", "-t", "tmpfs", "-o", options, "flux-small-disk", str(self.folder)])

    def unmount(self) -> None:
        """Take it away with all that is on it; whoever still uses it keeps it until they end."""
        _run(["umount", "--lazy", str(self.folder)])

    @property
    def free_bytes(self) -> int:
        """How much can still be written."""
        facts = os.statvfs(self.folder)
        return facts.f_bavail * facts.f_frsize

    def fill(self) -> None:
        """Leave no room at all."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(_CHUNK_BYTES))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


def unmount_below(folder: Path) -> None:
    """Take away the small disks that are still mounted somewhere in a folder."""
    mounted = [Path(one.mountpoint) for one in psutil.disk_partitions(all=True)]
    for place in sorted(mounted, reverse=True):  # what is mounted on another one first
        if folder.resolve() in place.parents:
            SmallDisk(place, 0).unmount()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOUNT_S, check=False)
    if done.returncode:
        why = done.stderr.strip() or f"status {done.returncode}"
        raise Refused(f"a small disk needs the right to mount, which root has: {why}")
