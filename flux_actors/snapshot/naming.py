"""What the files of snapshots are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NAME: Final = re.compile(r"(\d{20})\.flux")


def file_of(sequence: int) -> str:
    """Return the name of a snapshot's file."""
    return f"{sequence:020}.flux"


def sequences_of(names: Iterable[str]) -> list[int]:
    """Return the sequences of the files that are snapshots, newest first."""
    return sorted((int(match[1]) for match in map(_NAME.fullmatch, names) if match), reverse=True)
