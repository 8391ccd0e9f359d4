"""How busy the machine is: bounds of time are those of a quiet one, and others may be using it."""

from __future__ import annotations

import os
from typing import Final

_MOST: Final = 8.0  # what takes longer than that is wrong on any machine


def busy() -> float:
    """Return how many times longer what needs a core may take now: 1 where cores are free, and 8 at most."""
    return min(_MOST, max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1)))
