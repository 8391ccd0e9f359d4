"""What a part takes from the machine that it runs on: its clocks, and chance.

It is passed like everything else that a part needs. Processes pass `HERE`; a simulation passes clocks that
jump from one event to the next, and chance that comes from a seed, so that it can be repeated exactly.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import uuid_utils

_IDENTITY_BITS: Final = 63


def _now_us() -> int:
    return time.time_ns() // 1_000


def _identity() -> int:
    return secrets.randbits(_IDENTITY_BITS)


def _event_id() -> str:
    return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clocks and chance.

    Attributes:
        now_us: the time in microseconds since 1970, as this machine has it; it may be put back.
        steady_s: seconds since some moment; they go on whatever becomes of the time.
        identity: a number that nobody else draws, to name a committer by.
        event_id: a new UUIDv7.
    """

    now_us: Callable[[], int] = _now_us
    steady_s: Callable[[], float] = time.monotonic
    identity: Callable[[], int] = _identity
    event_id: Callable[[], str] = _event_id


HERE: Final = Surroundings()
