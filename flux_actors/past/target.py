"""Up to where a past goes: through one event of the log, or through a time of its clock.

Both include their end. The log's clock is the running maximum of its blocks' clocks, so the blocks up to a
time are a prefix of the log, as those up to a position are.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from flux_actors import limits
from flux_actors.domain.position import pack

_NEVER_US: Final = 1 << 62


class Target(Protocol):
    """Where to stop."""

    @property
    def sequence(self) -> int | None:
        """The block behind which nothing counts; `None` where that must be seen from the clock."""
        ...

    def includes(self, sequence: int, clock_us: int) -> bool:
        """Whether all of a block counts, and so all of a snapshot that ends with it."""
        ...

    def begins(self, sequence: int, clock_us: int) -> bool:
        """Whether some of a block may count."""
        ...

    def reaches(self, origin: int) -> bool:
        """Whether it may be in a log whose first block has that sequence; else it is of an earlier one."""
        ...

    def has(self, position: int, clock_us: int) -> bool:
        """Whether an event counts."""
        ...


class ThroughPosition(NamedTuple):
    """Everything up to the event at a packed position."""

    position: int

    @property
    def sequence(self) -> int:
        return self.position >> limits.offset_bits

    def includes(self, sequence: int, clock_us: int) -> bool:  # noqa: ARG002 - a position knows no time
        return pack(sequence, limits.block_events_max - 1) <= self.position

    def begins(self, sequence: int, clock_us: int) -> bool:  # noqa: ARG002
        return pack(sequence, 0) <= self.position

    def reaches(self, origin: int) -> bool:
        return origin == 1 or self.position >= pack(origin - 1, 0)

    def has(self, position: int, clock_us: int) -> bool:  # noqa: ARG002
        return position <= self.position


class ThroughTime(NamedTuple):
    """Everything whose time by the log's clock, in microseconds since 1970, is not later."""

    clock_us: int

    @property
    def sequence(self) -> None:
        return None

    def includes(self, sequence: int, clock_us: int) -> bool:  # noqa: ARG002 - a time knows no position
        return clock_us <= self.clock_us

    def begins(self, sequence: int, clock_us: int) -> bool:
        return self.includes(sequence, clock_us)

    def reaches(self, origin: int) -> bool:  # noqa: ARG002 - what was copied kept its times
        return True

    def has(self, position: int, clock_us: int) -> bool:  # noqa: ARG002
        return clock_us <= self.clock_us


PRESENT: Final = ThroughTime(_NEVER_US)


def through_block(sequence: int) -> ThroughPosition:
    """Return the target that includes all of a block and nothing behind it."""
    return ThroughPosition(pack(sequence + 1, 0) - 1)
