"""The log's clock as text: microseconds since 1970 to ISO-8601 and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from flux_actors.errors import Refused

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def iso_of(clock_us: int) -> str:
    """Return e.g. `2026-01-31T12:00:00.000123+00:00`: UTC, at most six fractional digits."""
    return (_EPOCH + clock_us * _MICROSECOND).isoformat()


def us_of(text: str, name: str) -> int:
    """Parse an RFC 3339 time; `name` is the parameter that an error names."""
    text = text.replace(" ", "+").upper()  # a plus sign in a query string arrives as a space
    try:
        moment = datetime.fromisoformat(text) if _RFC_3339.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise Refused(f"{name} must be an RFC 3339 time such as 2026-01-31T12:00:00Z, not {text[:64]!r}")
    return (moment - _EPOCH) // _MICROSECOND
