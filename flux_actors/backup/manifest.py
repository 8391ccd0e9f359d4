"""The manifest: what a backup consists of. It is written last, so a backup without one is none.

    DEST/manifests/<when it began>.json             one for each backup
    DEST/log/<partition>/<first>-<last>-<checksum>.blocks
    DEST/snapshots/<partition>/<sequence>-<its clock>.flux
    DEST/stores/<checksum>.json                      the key-value stores
    DEST/code/<digest>                               code of behaviours

Each manifest names all that its backup needs, whichever of them wrote it. What has a name never changes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

import msgspec

from flux_actors.errors import Corrupt, Refused
from flux_actors.places.place import Place, keep

FORMAT: Final = 1
FOLDER: Final = "manifests"
_DIGEST_BYTES: Final = 32
_SECOND_US: Final = 1_000_000


class FileFacts(msgspec.Struct, frozen=True):
    """A file of a backup, with the blake2b of its bytes."""

    name: str
    size_bytes: int
    checksum: str


class Segment(msgspec.Struct, frozen=True):
    """A run of blocks."""

    file: FileFacts
    first: int
    last: int
    clock_us: int  # the log's clock behind its last block


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot."""

    file: FileFacts
    sequence: int
    clock_us: int


class Part(msgspec.Struct, frozen=True):
    """One partition: blocks `first` to `last`, none if that is in front of it."""

    partition: int
    first: int
    last: int
    last_block: str  # checksum of the last one: by it a log is known again
    segments: list[Segment] = []
    snapshots: list[KeptSnapshot] = []  # newest first
    origin: int = 1  # where the log began: in front of it there was nothing

    @property
    def is_whole(self) -> bool:
        """Whether it has all that ever was in the log."""
        return self.first == self.origin

    @property
    def clock_us(self) -> int:
        """The log's clock at its end."""
        return self.segments[-1].clock_us if self.segments else 0


class Manifest(msgspec.Struct, frozen=True):
    """A backup."""

    format: int
    written_by: str  # which version of Flux
    log_id: str
    began_us: int
    ended_us: int
    parts: list[Part]
    stores: FileFacts
    code: list[FileFacts] = []
    generation: int = 1  # of the log

    @property
    def name(self) -> str:
        """Its file's name: by it manifests are in the order of their beginnings."""
        at = datetime.fromtimestamp(self.began_us // _SECOND_US, UTC)
        return f"{at:%Y-%m-%dT%H-%M-%S}.{self.began_us % _SECOND_US:06}Z.json"

    def files(self) -> list[FileFacts]:
        """Return all that it consists of."""
        found = [self.stores, *self.code]
        for part in self.parts:
            found += [segment.file for segment in part.segments]
            found += [snapshot.file for snapshot in part.snapshots]
        return found


class _Sealed(msgspec.Struct):
    """The file of a manifest."""

    checksum: str
    manifest: msgspec.Raw


_decode_sealed = msgspec.json.Decoder(_Sealed).decode
_decode = msgspec.json.Decoder(Manifest).decode


def checksum_of(data: bytes) -> str:
    """Return the checksum by which files are known."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest's file."""
    inner = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Sealed(checksum_of(inner), msgspec.Raw(inner)))


def decode(data: bytes) -> Manifest:
    """Return the manifest of a file.

    Raises:
        Corrupt: it was damaged, or is of a version that this code does not know.
    """
    try:
        sealed = _decode_sealed(data)
        if checksum_of(bytes(sealed.manifest)) != sealed.checksum:
            raise Corrupt("the checksum of a manifest does not match its content")
        manifest = _decode(sealed.manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"a manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise Corrupt(f"backup format {manifest.format} is not known to this version of Flux; upgrade it")
    return manifest


def write(place: Place, manifest: Manifest) -> None:
    """Keep a manifest: from now on the backup is there."""
    keep(place, f"{FOLDER}/{manifest.name}", encode(manifest))


def newest(place: Place) -> Manifest | None:
    """Return the newest backup, `None` when there is none; raises `Corrupt` when it was damaged."""
    names = place.names(FOLDER)
    return read(place, names[-1]) if names else None


def reaching(place: Place, at_us: int | None) -> Manifest:
    """Return the first backup that began behind a time, so that all up to there is in it; else the newest.

    Raises:
        Refused: 404, there is no backup at all.
    """
    names = place.names(FOLDER)
    if not names:
        raise Refused("there is no finished backup at that place", 404)
    found = read(place, names[-1])
    for name in reversed(names[:-1]) if at_us is not None else ():
        earlier = read(place, name)
        if at_us is None or earlier.began_us <= at_us:
            break
        found = earlier
    return found


def read(place: Place, name: str) -> Manifest:
    """Return the manifest in a file of the folder; raises `Corrupt`."""
    try:
        return decode(b"".join(place.read(f"{FOLDER}/{name}")))
    except Corrupt as error:
        raise Corrupt(f"{FOLDER}/{name}: {error.message}") from None
