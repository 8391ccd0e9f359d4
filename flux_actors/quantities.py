"""Quantities as operators write them: `30d`, `12h`, `10GB`, `512MiB`, or a number of seconds or bytes."""

from __future__ import annotations

import re
from typing import Final

_QUANTITY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_BYTES: Final = {"": 1, "b": 1} | {
    f"{prefix}{unit}": base**power
    for unit, base in (("b", 1_000), ("ib", 1_024))
    for power, prefix in enumerate("kmgt", 1)
}


def seconds_of(text: str) -> int:
    """Return how long a text says, in seconds; raise `ValueError` for one that says nothing."""
    return _amount(text, _SECONDS, "a time such as 30d, 12h, 90m or 45s")


def bytes_of(text: str) -> int:
    """Return how much a text says, in bytes; raise `ValueError` for one that says nothing."""
    return _amount(text, _BYTES, "a size such as 10GB, 512MiB or a number of bytes")


def _amount(text: str, units: dict[str, int], example: str) -> int:
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError(f"write {example}, not {text[:64]!r}")
    return int(float(match[1]) * units[match[2]]) if "." in match[1] else int(match[1]) * units[match[2]]
