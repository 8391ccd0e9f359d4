"""How busy the machine is: bounds of time are those of a quiet one, and others may be using it."""

from __future__ import annotations

import os


def busy() -> float:
    """Return how many times longer what needs a core may take now: 1 where cores are free."""
    return max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
