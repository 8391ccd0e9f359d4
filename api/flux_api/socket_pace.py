"""How fast one socket may ask: publishes have the rate of their namespace, all other messages have this one.

A message that subscribes, reads, authenticates or cannot be read costs the door a fraction of what it costs
the client, and nobody else counts it. So each socket has a bucket of them, in which large messages weigh more
and `auth`, for which a token may have to be looked up, a lot more. What does not fit is refused in words. Who
goes on as if nothing had been said uses up a second bucket, of refusals, and is sent away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from flux_actors import limits
from flux_actors.errors import Refused

TOO_FAST: Final = Refused(
    f"too many messages: beside publishes a socket may send {limits.socket_requests_burst:,} at once and "
    f"{limits.socket_requests_per_s:,} a second; wait a moment, or open another socket",
    429,
)


class Verdict(Enum):
    """What to do with a message."""

    TAKE = auto()
    REFUSE = auto()
    LEAVE = auto()  # end the socket


class _Bucket:
    """Holds so many, refilled evenly."""

    __slots__ = ("_at_s", "_level", "_most", "_per_s")

    def __init__(self, most: float, per_s: float, now_s: float) -> None:
        self._most, self._per_s = most, per_s
        self._level, self._at_s = most, now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Take `amount` if there is anything in it, and owe what is missing."""
        self._level = min(self._most, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._level < 1.0:
            return False
        self._level -= amount
        return True


class Pace:
    """What one socket has asked lately; `clock` tells seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        now_s = clock()
        self._requests = _Bucket(limits.socket_requests_burst, limits.socket_requests_per_s, now_s)
        self._refusals = _Bucket(limits.socket_refusals_burst, limits.socket_refusals_per_s, now_s)

    def judge(self, size: int, *, is_auth: bool = False) -> Verdict:
        """Return what to do with a message of `size` bytes."""
        now_s = self._clock()
        weight = 1 + size // limits.socket_request_bytes_max + is_auth * limits.socket_auth_weight
        if self._requests.take(weight, now_s):
            return Verdict.TAKE
        return Verdict.REFUSE if self._refusals.take(1, now_s) else Verdict.LEAVE
