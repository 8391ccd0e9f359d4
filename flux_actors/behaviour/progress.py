"""What a worker is about to do, in memory that its shard sees: for when the worker cannot say it."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

_FORMAT: Final = struct.Struct("<QQII")
_AWAITED: Final = struct.Struct("<Q")  # behind it
_SIZE: Final = _FORMAT.size + _AWAITED.size
_SHARED: Final = Path("/dev/shm")  # noqa: S108 - memory, in which `mkstemp` makes a file of our own


class Step(NamedTuple):
    """How many items a worker has begun, and which one it is at: of which call, run, and in that run."""

    begun: int
    call: int
    run: int
    item: int


class Progress:
    """A page of memory, by its file; the file goes once both sides have it open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._memory = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._count = 0
        self.call = 0  # whose items are begun

    @classmethod
    def make(cls) -> Progress:
        """Return a new one."""
        folder = _SHARED if _SHARED.is_dir() else None
        descriptor, name = tempfile.mkstemp(prefix="flux-worker-", dir=folder)
        try:
            os.truncate(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        return cls(Path(name))

    def __call__(self, run: int, item: int) -> None:
        """Tell that an item is begun."""
        self._count += 1
        _FORMAT.pack_into(self._memory, 0, self._count, self.call, run, item)

    def rests(self) -> None:
        """Tell that no item is being handled."""
        self.call = 0
        self(0, 0)

    def awaits(self, call: int) -> None:
        """Tell which call of coroutines has the processor, 0 for none."""
        _AWAITED.pack_into(self._memory, _FORMAT.size, call)

    def awaited(self) -> int:
        """Return which call of coroutines had the processor last, 0 for none."""
        (call,) = _AWAITED.unpack_from(self._memory, _FORMAT.size)
        return int(call)

    def read(self) -> Step:
        """Return what was told last."""
        return Step(*_FORMAT.unpack_from(self._memory, 0))

    def unlink(self) -> None:
        """Remove the file; the memory stays."""
        self.path.unlink(missing_ok=True)
