"""Snapshots on files."""

from __future__ import annotations

from pathlib import Path

from flux_actors.places.files import FilePlace
from flux_actors.snapshot.placed import PlacedSnapshotStore


class FileSnapshotStore(PlacedSnapshotStore):
    """Snapshots as files `<root>/<partition>/<sequence>.flux`."""

    def __init__(self, root: Path) -> None:
        super().__init__(FilePlace(root))
