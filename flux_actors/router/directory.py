"""The directory: which namespaces there are, as the entity `flux-core/directory`."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity_id import CORE_NAMESPACE

_LISTED_MAX: Final = 1_000
NamespaceTotals = tuple[str, int, int]


def directory_properties(
    rows: Iterable[NamespaceTotals], hidden: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    """Return the directory's properties from `(namespace, entities, updated_us)` of every partition.

    `hidden` namespaces are left out, of the totals too, and so is the server's own: an event of the directory
    must not cause the next one.
    Entities without a namespace count in `totalEntities` alone.
    """
    totals: dict[str, tuple[int, int]] = {}
    for namespace, entities, updated_us in rows:
        if namespace.startswith(CORE_NAMESPACE) or namespace in hidden:
            continue
        count, newest_us = totals.get(namespace, (0, 0))
        totals[namespace] = (count + entities, max(newest_us, updated_us))
    named = {namespace: value for namespace, value in totals.items() if namespace}
    active = sorted(named, key=lambda namespace: (-named[namespace][1], namespace))[:_LISTED_MAX]
    return {
        "namespaces": {
            namespace: {"entities": named[namespace][0], "lastUpdated": iso_of(named[namespace][1])}
            for namespace in sorted(active)
        },
        "totalNamespaces": len(named),
        "totalEntities": sum(count for count, _ in totals.values()),
    }
