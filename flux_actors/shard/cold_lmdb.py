"""The cold store on LMDB: a tree of pages in a file that has no name.

The file is unlinked as soon as it is open, so the kernel frees it when the process ends, however it ends;
nothing is synced, for nothing of it outlives the process. LMDB writes with `pwrite` and not through the
map (`writemap`): on a full disk that is an error of `put`, where a store through the map is a SIGBUS.

Pages that were touched stay mapped and count as this process's memory, up to the whole file. They are let
go by mapping the file anew; to fault them in again makes a row two to four times as dear (measured: 2 against
7 µs for a read where 64 MiB may stay), so what may stay grows with the budget.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import lmdb

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.shard.cold import FOLDER_PREFIX

# For a page that is asked for the kernel maps 16. So, as measured, a row maps this much with its tree:
_TOUCH_BYTES: Final = 128 * limits.KIB
_SPREAD: Final = 32  # and a walk maps so many times the bytes of its rows


class LmdbColdStore:
    """Rows in a nameless file on the disk of `folder`."""

    def __init__(self, folder: Path, mapped_bytes_max: int = limits.cold_mapped_bytes_min) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=folder)  # for its owner alone
        except OSError as error:
            raise Unavailable(f"the cold store cannot be made in {folder}: {error.strerror}") from error
        try:
            self._environment = lmdb.open(
                place,
                map_size=limits.cold_store_bytes_max,
                mode=0o600,
                sync=False,
                metasync=False,
                readahead=False,  # the rows of one pull lie anywhere
            )
        except lmdb.Error as error:
            raise Unavailable(f"the cold store cannot be made in {folder}: {error}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        self._mapped_bytes_max = mapped_bytes_max
        self._mapped_bytes = 0
        self._walks = 0

    def put(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep rows in one transaction."""
        items = [(entity_id.encode(), row) for entity_id, row in rows]
        try:
            with self._environment.begin(write=True) as transaction:
                transaction.cursor().putmulti(items)
        except lmdb.Error as error:
            raise Unavailable(f"the cold store takes no more rows: {error}") from error
        self._count(sum(_TOUCH_BYTES + len(row) for _, row in items))

    def get(self, entity_id: str) -> bytes | None:
        """Look it up; LMDB takes no empty key, and nothing has one."""
        if not entity_id:
            return None
        with self._environment.begin() as transaction:
            row: bytes | None = transaction.get(entity_id.encode())
        self._count(_TOUCH_BYTES + len(row or b""))
        return row

    def count(self) -> int:
        """Ask the tree."""
        return self._environment.stat()["entries"]

    @contextmanager
    def walk(self, start: str) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Walk in a read transaction."""
        self._walks += 1
        try:
            with self._environment.begin() as transaction:
                yield self._rows(transaction, start)
        except lmdb.Error as error:
            raise Unavailable(f"the cold store cannot be read now: {error}") from error
        finally:
            self._walks -= 1
            self._count(0)

    def close(self) -> None:
        """Close the file, which frees it."""
        self._environment.close()

    def _rows(self, transaction: lmdb.Transaction, start: str) -> Iterator[tuple[str, bytes]]:
        cursor = cast("lmdb.Cursor[bytes]", transaction.cursor())
        if not cursor.set_range(start.encode()):
            return
        for key, row in cursor:
            self._mapped_bytes += _SPREAD * len(row)
            yield key.decode(), row

    def _count(self, mapped_bytes: int) -> None:
        """Count what was mapped; let go of it when it is much and no walk needs it."""
        self._mapped_bytes += mapped_bytes
        if self._mapped_bytes <= self._mapped_bytes_max or self._walks:
            return
        self._mapped_bytes = 0
        if self._environment.info()["last_pgno"] * self._environment.stat()["psize"] > self._mapped_bytes_max:
            self._environment.set_mapsize(limits.cold_store_bytes_max)
