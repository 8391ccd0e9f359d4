"""Removing old backups from a place, and the files that no other needs.

Manifests go first: whatever happens on the way, each that is there has all of its files.
"""

from __future__ import annotations

from flux_actors.backup.manifest import FOLDER, read
from flux_actors.places.place import Place


def prune(place: Place, kept: int) -> int:
    """Keep the newest backups alone, and return how many files were removed.

    What an interrupted backup left goes as well, so no other one may be under way.

    Raises:
        Corrupt: the manifest of one that is kept is damaged; nothing was removed.
    """
    names = place.names(FOLDER)
    manifests = [read(place, name) for name in names[-kept:]]
    if not manifests:
        return 0
    needed = {facts.name for manifest in manifests for facts in manifest.files()}
    removed = [f"{FOLDER}/{name}" for name in names[:-kept]]
    partitions = [part.partition for part in manifests[-1].parts]
    folders = ["stores", "code", *(f"{kind}/{p}" for kind in ("log", "snapshots") for p in partitions)]
    for folder in folders:
        there = (f"{folder}/{name}" for name in place.names(folder))
        removed += [name for name in there if name not in needed]
        place.sweep(folder)
    for name in removed:
        place.delete(name)
    return len(removed)
