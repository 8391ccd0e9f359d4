"""How long to stay away from what fails: doubling from a least to a most, spread by chance.

The spread keeps many that failed together from coming back together. After some failures in a row the circuit
counts as open: it is told once, and what is tried from then on are probes at the longest distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SPREAD: Final = 0.25  # of the wait, both ways
_DOUBLINGS_MAX: Final = 30  # more would change nothing but the size of the number


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between `least_s` and `most_s`; `chance` gives numbers from 0 to 1."""

    least_s: float
    most_s: float
    chance: Callable[[], float]

    def wait_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row (1 is the first)."""
        doubled = self.least_s * 2.0 ** min(max(0, failures - 1), _DOUBLINGS_MAX)
        return self.spread(min(doubled, self.most_s))

    def spread(self, wait_s: float) -> float:
        """Return a wait near the given one."""
        return wait_s * (1 + _SPREAD * (2 * self.chance() - 1))
