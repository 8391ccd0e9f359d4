"""What a watcher names: one entity by its id, all that begin alike (`ns/*`), or everything (`*`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

EVERYTHING: Final = "*"


def prefix_of(pattern: str) -> str | None:
    """Return how the ids that a pattern names begin, `None` when it names one id."""
    if pattern == EVERYTHING:
        return ""
    return pattern[:-1] if pattern.endswith("/*") else None


def names(pattern: str, entity_id: str) -> bool:
    """Whether a pattern names an entity."""
    prefix = prefix_of(pattern)
    return entity_id == pattern if prefix is None else entity_id.startswith(prefix)


def overlap(one: str, other: str) -> bool:
    """Whether two patterns may name the same entity."""
    first, second = prefix_of(one), prefix_of(other)
    if first is None or second is None:
        return names(other, one) if first is None else names(one, other)
    return first.startswith(second) or second.startswith(first)


def widest(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return those patterns that no other one covers: no two of them name the same entity."""
    found = tuple(dict.fromkeys(patterns))
    return tuple(one for one in found if not any(one != other and _covers(other, one) for other in found))


def _covers(wide: str, narrow: str) -> bool:
    """Whether all that `narrow` names is named by `wide`."""
    inner = prefix_of(narrow)
    outer = prefix_of(wide)
    return names(wide, narrow) if inner is None else outer is not None and inner.startswith(outer)
