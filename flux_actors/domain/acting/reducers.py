"""The port through which the fold runs users' reducers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One event as a reducer sees it."""

    properties: dict[str, Any]
    position: int  # packed
    clock_us: int
    event_id: str
    source: str


class ReduceRun(NamedTuple):
    """The events of one entity for its reducer, in log order."""

    digest: str  # of the behaviour's code
    entity_id: str
    state: dict[str, Any] | None  # before the first of them; `None` when the entity does not exist
    facts: list[Fact]


class Reduced(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one event made of an entity: its new state, or why there is none."""

    state: dict[str, Any] | None
    fault: str = ""  # it changes nothing, then
    overran: bool = False  # it took too long or too much memory, which another machine may see differently


class Reducers(Protocol):
    """Runs reducers: the same answer for the same run, on every machine."""

    def reduce(self, runs: Sequence[ReduceRun]) -> list[list[Reduced]]:
        """Return what each event of each run made of its entity; the later ones build on the earlier.

        An event that overran is the last that is answered of its run.

        Raises:
            Unavailable: the code cannot be had now.
        """
        ...


class NoReducers:
    """For a state that must not meet any."""

    def reduce(self, runs: Sequence[ReduceRun]) -> list[list[Reduced]]:
        """Nothing is reduced."""
        return [[Reduced(None, "no reducer can be run here") for _ in run.facts] for run in runs]
