"""Figures inside a document that people wrote: what stands between two marks is measured, all else is theirs.

<!-- measured: NAME -->
the table
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flux_actors.errors import Refused

_MARKED: Final = re.compile(r"(<!-- measured: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def names_in(text: str) -> list[str]:
    """Return the names of the marked places of a document, in its order."""
    return [match[2] for match in _MARKED.finditer(text)]


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return a document with new parts at their places; a place for which there is none stays as it is.

    Raises:
        Refused: a part has no place.
    """
    places = names_in(text)
    for name in parts:
        if name not in places:
            raise Refused(f"the document has no place for {name}; there are {', '.join(places)}")
    return _MARKED.sub(
        lambda match: (
            f"{match[1]}\n{parts[match[2]].strip()}\n\n{match[3]}" if match[2] in parts else match[0]
        ),
        text,
    )
