"""Which place a text names: a folder, or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flux_actors.places.files import FilePlace
from flux_actors.places.place import Place

_FILE: Final = "file://"
_SCHEME: Final = "://"


def is_url(text: str) -> bool:
    """Whether a text names a place that is not a folder of this machine."""
    return _SCHEME in text and not text.startswith(_FILE)


def absolute(text: str) -> str:
    """Return the text by which every process finds the same place, whatever folder it works in."""
    return text if is_url(text) else str(Path(text.removeprefix(_FILE)).absolute())


def open_place(text: str) -> Place:
    """Return a place.

    Raises:
        Refused: it is a URL of a kind that fsspec does not know, or has no package for.
    """
    if not is_url(text):
        return FilePlace(Path(absolute(text)))
    from flux_actors.places.remote import RemotePlace  # noqa: PLC0415 - a fifth of a second that few need

    return RemotePlace(text)
