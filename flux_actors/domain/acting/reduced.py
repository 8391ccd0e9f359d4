"""Which entities a reducer may ever have been for.

What such an entity was cannot be told from its own events: these say what was published, not what a reducer
made of it. A catalogue forgets versions that were removed, so the patterns of all that ever reduced are kept
beside it. They are few, and of very many, whole namespaces are kept in their place: that an entity is named
here though no reducer was ever for it costs time, and the other way round would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Catalogue, matches
from flux_actors.domain.entity_id import namespace_of


class EverReduced:
    """Patterns of all versions that had a reducer."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = set(patterns)

    def __contains__(self, entity_id: str) -> bool:
        """Whether a reducer may ever have been for an entity."""
        return any(matches(pattern, entity_id) for pattern in self._patterns)

    def note(self, catalogue: Catalogue) -> None:
        """Keep what is in force from now on."""
        for one in catalogue.deployed:
            for version in (one.stable, one.canary):
                if version is not None and "reduce" in version.handles:
                    self._patterns.update(version.match)
        if len(self._patterns) > limits.reduced_patterns_max:
            self._patterns = {f"{namespace_of(pattern)}/*" for pattern in self._patterns}

    def rows(self) -> list[str]:
        """Return them for a snapshot."""
        return sorted(self._patterns)
