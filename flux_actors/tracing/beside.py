"""What stands beside a block: which of its events are followed, as text in a header of its message.

    offset,events,traceparent;…

Readers that know nothing of it read the same block. It is bounded: a block has thousands of events, its
headers a few kilobytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"(\d{1,5}),(\d{1,5}),(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})")


class Beside(NamedTuple):
    """Events of one piece of a block that are followed: where they stand, how many, and the span before."""

    offset: int
    events: int
    parent: str


def text_beside(followed: Iterable[Beside]) -> str:
    """Return the text of a header."""
    return ";".join([f"{one.offset},{one.events},{one.parent}" for one in followed])


def read_beside(text: str) -> list[Beside]:
    """Return what a header says; what is none says nothing, for whoever writes to NATS may write anything."""
    found = [_FORM.fullmatch(part) for part in text.split(";")]
    return [Beside(int(one[1]), int(one[2]), one[3]) for one in found if one is not None]
