"""The disk of the embedded log: how much of it the log may take, and that it was full.

Two things that nats-server does by itself are not what a log needs. It allows its store three quarters of
what is free *when it starts*, not counting what the store has already: a log that has grown past that takes
no event any more after a restart, on a disk that is half empty. And a stream that could not write for want of
room never tries again, whatever room there is later, until the server is started again. So it is told how
much it may take, and started again when there is room.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path

from flux_actors import limits


class Turn(StrEnum):
    """What has become of the disk."""

    FULL = "full"
    ROOM = "room"


class LogDisk:
    """The disk that a store is on; the folder of the store is made by nats-server."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._is_full = False

    def store_bytes_max(self) -> int:
        """Return how many bytes the store may have: what it has and what is free, less a reserve."""
        has = sum(path.stat().st_size for path in self._store.rglob("*") if path.is_file())
        whole = has + self._free_bytes()
        return whole - whole // limits.disk_reserve_parts

    def has_room(self) -> bool:
        """Whether a block finds room for certain."""
        return self._free_bytes() >= limits.disk_full_bytes

    def look(self) -> Turn | None:
        """Return whether the disk became full, or has room again, since the last look."""
        free = self._free_bytes()
        if not self._is_full and not self.has_room():
            self._is_full = True
            return Turn.FULL
        if self._is_full and free >= limits.disk_room_bytes:
            self._is_full = False
            return Turn.ROOM
        return None

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._store if self._store.exists() else self._store.parent).free
