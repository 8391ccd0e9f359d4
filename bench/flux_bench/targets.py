"""What a figure must reach, and whether it does."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Verdict(StrEnum):
    """How a row of the table ended."""

    REACHED = "reached"
    MISSED = "missed"
    FAILED = "failed"  # not measured, or its result was not what it must be
    NOT_HERE = "not here"  # this machine, or a server that somebody else started, does not allow it
    OPEN = "–"  # has no target


class Baseline(StrEnum):
    """What a figure is set beside, measured in the same run."""

    B1 = "B1"  # GET/s of an empty raw-ASGI app on plain uvicorn, one process, 32 connections
    B2 = "B2"  # events/s of a bare loop: msgspec decode of blocks of 500 and dict.update
    B3 = "B3"  # serial publishes/s of 300 bytes to a nats-server with our settings


class Target(msgspec.Struct, frozen=True):
    """A bound: in the row's unit, or as a multiple of a baseline."""

    bound: float
    least: bool  # whether more is better
    baseline: Baseline | None = None
    unit: str = ""

    def text(self) -> str:
        """Return it as people write it."""
        sign = "≥" if self.least else "≤"
        bound = f"{self.bound:,.10g}"
        return f"{sign} {bound} × {self.baseline}" if self.baseline else f"{sign} {bound} {self.unit}".strip()

    def verdict(self, value: float, baseline: float | None) -> Verdict:
        """Return whether `value` reaches the bound."""
        if self.baseline is not None:
            if not baseline:
                return Verdict.FAILED
            value /= baseline
        reached = value >= self.bound if self.least else value <= self.bound
        return Verdict.REACHED if reached else Verdict.MISSED


def at_least(bound: float, unit: str) -> Target:
    """Return the target of a rate."""
    return Target(bound, least=True, unit=unit)


def at_most(bound: float, unit: str) -> Target:
    """Return the target of a time or a size."""
    return Target(bound, least=False, unit=unit)


def times(bound: float, baseline: Baseline) -> Target:
    """Return a target as a multiple of a baseline."""
    return Target(bound, least=True, baseline=baseline)


BASELINE_TEXTS: Final = {
    Baseline.B1: "GET/s of an empty raw-ASGI app on uvicorn, one process, 32 connections",
    Baseline.B2: "events/s of a bare loop that decodes blocks of 500 and updates 10,000 dicts",
    Baseline.B3: "serial publishes/s of 300 bytes to a nats-server that syncs each",
}
