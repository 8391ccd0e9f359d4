"""A session: how far somebody's own writes and questions have come, so that its reads include them."""

from __future__ import annotations

from collections.abc import Mapping

from flux_actors.domain.position import Packed, text_of_all


class Session:
    """The newest position per partition that was given to one user of Flux."""

    def __init__(self, positions: Mapping[int, int] | None = None) -> None:
        self._newest: dict[int, int] = dict(positions or {})

    def note(self, partition: int, position: int) -> None:
        """Have later reads of a partition include a position."""
        if position > self._newest.get(partition, -1):
            self._newest[partition] = position

    def after(self, partition: int) -> int:
        """Return the packed position that a read must include, 0 for any."""
        return self._newest.get(partition, 0)

    def positions(self) -> dict[int, int]:
        """Return all of it, for another process that goes on from here."""
        return dict(self._newest)

    @property
    def text(self) -> str:
        """The same as a position's text; empty before the first."""
        return text_of_all({partition: Packed(at) for partition, at in self._newest.items()})
