"""The files of a backup in the making: each written once, and read back before the manifest names it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator

from flux_actors.backup.manifest import FileFacts, checksum_of
from flux_actors.errors import Corrupt
from flux_actors.places.place import Place, keep
from flux_actors.reporting import Reporter

_DIGEST_BYTES = 32


class Archive:
    """What one backup adds to a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: dict[str, set[str]] = {}
        self.added: list[FileFacts] = []

    async def has(self, name: str) -> bool:
        """Whether a file of that name is there, from an earlier backup or from one that was interrupted."""
        folder, _, last = name.rpartition("/")
        if folder not in self._known:
            self._known[folder] = set(await asyncio.to_thread(self._place.names, folder))
        return last in self._known[folder]

    async def keep(self, name: str, data: bytes) -> FileFacts:
        """Keep bytes under a name that only they have."""
        facts = FileFacts(name, len(data), checksum_of(data))
        if not await self.has(name):
            await asyncio.to_thread(keep, self._place, name, data)
        self.added.append(facts)
        return facts

    async def copy(
        self, name: str, chunks: Callable[[], Iterable[bytes]], verify: Callable[[Iterable[bytes]], None]
    ) -> FileFacts:
        """Keep what is too large for memory, under a name that only it has.

        Raises:
            Corrupt: `verify` finds that the copy is not what it must be; it is removed.
        """
        if not await self.has(name):
            await asyncio.to_thread(_copy, self._place, name, chunks())
        try:
            await asyncio.to_thread(lambda: verify(self._place.read(name)))
        except Corrupt:
            await asyncio.to_thread(self._place.delete, name)
            raise
        facts = await asyncio.to_thread(facts_of, self._place, name)
        self.added.append(facts)
        return facts

    async def check(self, report: Reporter) -> None:
        """Read back what was added; raises `Corrupt` when it is not what was written."""
        await asyncio.to_thread(check_files, self._place, self.added, report)


def facts_of(place: Place, name: str) -> FileFacts:
    """Return the size and the checksum of a file as it is there."""
    digest, size = hashlib.blake2b(digest_size=_DIGEST_BYTES), 0
    for chunk in place.read(name):
        digest.update(chunk)
        size += len(chunk)
    return FileFacts(name, size, digest.hexdigest())


def check_files(place: Place, files: list[FileFacts], report: Reporter) -> None:
    """Read files one after the other; raise `Corrupt` at the first that is not what a manifest says."""
    for number, facts in enumerate(files, 1):
        check_file(place, facts)
        report.progress(f"read {number} of {len(files)} files")


def check_file(place: Place, facts: FileFacts) -> None:
    """Raise `Corrupt` when a file is not what a manifest says."""
    if facts_of(place, facts.name) != facts:
        raise damaged(facts)


def checked(place: Place, facts: FileFacts) -> bytes:
    """Return the bytes of a file; raises `Corrupt` when they are not what a manifest says."""
    data = b"".join(place.read(facts.name))
    if len(data) != facts.size_bytes or checksum_of(data) != facts.checksum:
        raise damaged(facts)
    return data


def checked_chunks(place: Place, facts: FileFacts) -> Iterator[bytes]:
    """Yield the bytes of a file; raises `Corrupt` at their end when they are not what a manifest says."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for chunk in place.read(facts.name):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != facts.checksum:
        raise damaged(facts)


def damaged(facts: FileFacts) -> Corrupt:
    """Return the error of a file that is not what it was."""
    return Corrupt(
        f"{facts.name} of the backup is damaged: its checksum is not the one in the manifest; remove the "
        "file and take the backup again, or use another copy of it"
    )


def _copy(place: Place, name: str, chunks: Iterable[bytes]) -> None:
    sink = place.begin(name)
    try:
        for chunk in chunks:
            sink.write(chunk)
        sink.commit()
    except BaseException:
        sink.abort()
        raise
