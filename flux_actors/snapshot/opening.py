"""Which store a setting names: files in a folder, or objects behind a URL."""

from __future__ import annotations

from pathlib import Path

from flux_actors.places.opening import absolute, is_url, open_place
from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.placed import PlacedSnapshotStore
from flux_actors.snapshot.store import SnapshotStore


def open_store(place: str, generation: int = 1) -> SnapshotStore:
    """Return the snapshots of a generation of the log, in a folder or at a URL such as `s3://bucket/prefix`.

    Raises:
        Refused: it is a URL of a kind that fsspec does not know, or has no package for.
    """
    if generation > 1:
        place = f"{place.rstrip('/')}/generation-{generation}"
    return (
        PlacedSnapshotStore(open_place(place)) if is_url(place) else FileSnapshotStore(Path(absolute(place)))
    )
