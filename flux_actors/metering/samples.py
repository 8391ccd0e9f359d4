"""Samples: the values of metrics as one process tells them, and how they travel to the door that is asked.

A report goes in parts, for a shard of a thousand partitions has more to tell than a message of some NATS
servers may hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from flux_actors import limits
from flux_actors.metering.instruments import SECONDS, Histogram


class Kind(StrEnum):
    """What Prometheus takes a metric for."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """One value; of a histogram the sum, with how many observations came up to each bound."""

    name: str
    labels: list[str]
    value: float
    counts: list[int] | None = None


class Metric(NamedTuple):
    """The name of a metric, and what it says."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()  # beside the process, which every sample of a process has
    bounds: tuple[float, ...] = SECONDS

    def of(self, value: float, *labels: str) -> Sample:
        """Return a sample of a counter or a gauge."""
        return Sample(self.name, list(labels), float(value))

    def seen_by(self, histogram: Histogram, *labels: str) -> Sample:
        """Return a sample of a histogram."""
        return Sample(self.name, list(labels), histogram.total, histogram.counts)


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What a process tells of itself; of several parts all say the same about the process."""

    process: str
    role: str
    samples: list[Sample]
    call: int = 0  # which question it answers
    parts: int = 1


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Report).decode


def encode_report(process: str, role: str, samples: Iterable[Sample], call: int = 0) -> Iterator[bytes]:
    """Yield the messages that tell a report."""
    told = list(samples)
    size = limits.report_samples_max
    pieces = [told[first : first + size] for first in range(0, len(told), size)] or [[]]
    for piece in pieces:
        yield _encode(Report(process, role, piece, call, len(pieces)))


def decode_report(data: bytes) -> Report:
    """Return a part of a report; raises `msgspec.DecodeError` for what is none."""
    return _decode(data)
