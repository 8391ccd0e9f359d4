"""What the fold reads of blocks, whoever decodes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flux_actors.domain.event import EventHead


class PoisonLike(Protocol):
    """An event that could not be read; in all else it looks like an event without state."""

    @property
    def reason(self) -> str:
        """Why it could not be read."""
        ...

    @property
    def entity_id(self) -> None: ...
    @property
    def properties(self) -> None: ...
    @property
    def event_id(self) -> str: ...
    @property
    def named_by_client(self) -> bool: ...


class BlockLike(Protocol):
    """What the fold reads of a block."""

    @property
    def committer(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def clock_us(self) -> int: ...
    @property
    def has_terms(self) -> bool: ...
    @property
    def events(self) -> Sequence[EventHead | PoisonLike]: ...
