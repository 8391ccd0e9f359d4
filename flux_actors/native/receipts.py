"""Receipts: what somebody gets whose events are durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Receipt(NamedTuple):
    """One event is durable: where it stands in the log, and under which id."""

    position: str
    event_id: str


class Receipts(NamedTuple):
    """Many events are durable: the position by which all of them can be read, and their ids in order."""

    position: str
    event_ids: Sequence[str]
    positions: dict[int, int]  # the newest packed position per partition
