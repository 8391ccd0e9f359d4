"""Chance that comes from a seed: whatever is drawn, in whatever process, is drawn again the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Chance(random.Random):
    """A stream of draws of its own for each purpose, so that one more draw here changes nothing there."""

    def __init__(self, seed: int, purpose: str) -> None:
        super().__init__(f"{seed}/{purpose}")  # of a text, whatever PYTHONHASHSEED is

    def happens(self, share: float) -> bool:
        """Whether something happens that does in this share of all cases."""
        return self.random() < share

    def seconds(self, least: float, most: float) -> float:
        """Return a time between two."""
        return least + (most - least) * self.random()

    def one_of(self, weighted: Sequence[tuple[_T, float]]) -> _T:
        """Return one thing of several, each with its weight."""
        (found,) = self.choices([thing for thing, _ in weighted], [weight for _, weight in weighted])
        return found
