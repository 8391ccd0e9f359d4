"""How far a long command is, said to whoever waits for it: now and then, and nothing of one that is short."""

from __future__ import annotations

import time
from collections.abc import Callable

from flux_actors import limits

Say = Callable[[str], None]


class Reporter:
    """Says what must be said at once, and how far it is every few seconds."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._told_at = time.monotonic()

    def progress(self, text: str) -> None:
        """Say how far it is, unless something of the kind was said a moment ago."""
        if time.monotonic() - self._told_at >= limits.report_every_s:
            self._told_at = time.monotonic()
            self.say(text)
