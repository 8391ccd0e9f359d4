"""Outlets: where what subscriptions bring goes out, in pieces that say which place they bring a reader to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from flux_api.frames import framed, texts_of

if TYPE_CHECKING:
    from flux_api.watcher import Link


class Piece(NamedTuple):
    """Frames of one change; a reader who has them has all of the partition up to the position.

    Frames that bring nobody anywhere (a state, a resync) have partition and position -1.
    """

    frames: bytes
    partition: int = -1
    position: int = -1


class Outlet(Protocol):
    """Takes what one watcher is told."""

    def send(self, pieces: Sequence[Piece], *, batch: bool) -> None:
        """Send pieces in their order, none of them empty; never waits."""
        ...


class FrameOutlet:
    """Sends the frames as they are, or as one frame with an array."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def send(self, pieces: Sequence[Piece], *, batch: bool) -> None:
        """Send pieces in one write."""
        frames = b"".join([piece.frames for piece in pieces])
        self._link.write(framed(b"[" + b",".join(texts_of(frames)) + b"]") if batch else frames)
