"""Spans: the part of a partition's log that a batch job reads, and how it is cut so that tasks share it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from flux_actors import limits
from flux_actors.domain.position import Packed, pack


class Span(NamedTuple):
    """Events of one partition, from the one at `first` up to the one in front of `end`, both packed."""

    partition: int
    first: Packed
    end: Packed

    @property
    def first_block(self) -> int:
        """The sequence of the first block."""
        return self.first >> limits.offset_bits

    @property
    def last_block(self) -> int:
        """The sequence of the last block; less than the first of an empty span."""
        return (self.end - 1) >> limits.offset_bits

    @property
    def blocks(self) -> int:
        """How many blocks it has something of."""
        return self.last_block - self.first_block + 1 if self.first < self.end else 0


def cut(spans: Sequence[Span], pieces: int) -> list[Span]:
    """Return spans that hold what `spans` do, of about equal length, in the order of the log.

    Arguments:
        spans: of different partitions.
        pieces: how many are wanted; there may be fewer, for a piece has `history_piece_blocks_min` blocks if
            it can, and some more, for none goes over two partitions.
    """
    whole = [span for span in spans if span.blocks]
    if not whole:
        return []
    length = max(-(-sum(span.blocks for span in whole) // max(1, pieces)), limits.history_piece_blocks_min)
    return [piece for span in whole for piece in _cut(span, max(1, round(span.blocks / length)))]


def _cut(span: Span, pieces: int) -> list[Span]:
    """Cut one span at the beginnings of blocks; their lengths differ by one block at most."""
    steps = (span.first_block + span.blocks * number // pieces for number in range(1, pieces))
    places = [span.first, *(pack(step, 0) for step in steps), span.end]
    return [Span(span.partition, first, end) for first, end in pairwise(places)]
