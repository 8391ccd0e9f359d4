"""Latencies of a run: the percentiles that tell how it felt, not just how fast it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class Latencies(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds, and of how many samples."""

    samples: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    def text(self) -> str:
        """Return them on one line."""
        values = (self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms)
        return " / ".join(f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in values)


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return the smallest sample that at least `fraction` of all samples do not exceed (nearest rank)."""
    rank = -int(-fraction * len(ordered) // 1)
    return ordered[max(rank, 1) - 1]


def latencies_of(seconds: Iterable[float]) -> Latencies | None:
    """Return the percentiles of samples in seconds; `None` of none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    p50, p90, p99, p999 = (percentile(ordered, fraction) * 1000 for fraction in (0.5, 0.9, 0.99, 0.999))
    return Latencies(len(ordered), p50, p90, p99, p999, ordered[-1] * 1000)
