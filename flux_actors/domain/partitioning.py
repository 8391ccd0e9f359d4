"""Which partition a thing belongs to.

A namespace lives in one partition, so its events have one order, one dedupe window and one owner.
A namespace named in `spread` lives in all of them, entity by entity. The rule is a pure function of
the id and of two facts that hold as long as a generation of the log does, so doors need to ask nobody.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from flux_actors.domain.entity_id import namespace_of

_KEYS_KEPT: Final = 4_096  # namespaces whose number is known already


@dataclass(frozen=True, slots=True)
class Partitioning:
    """The partition count of a log and the namespaces spread over all partitions."""

    partitions: int
    spread: frozenset[str] = field(default_factory=frozenset)

    def of_entity(self, entity_id: str) -> int:
        """Return the partition that orders the events of `entity_id`."""
        namespace = namespace_of(entity_id)
        return self._of(entity_id if namespace in self.spread else namespace)

    def of_entities(self, ids: Iterable[str | None]) -> list[int]:
        """Return the partition of each id, as `of_entity` does; `None` counts as the id `""`.

        Ids of one namespace often follow each other, and the namespace decides: 0.06 µs instead of 0.15.
        """
        found: list[int] = []
        own: str | None = None  # the namespace of the id before, with its slash
        partition = 0
        for entity_id in ids:
            if own is None or entity_id is None or not entity_id.startswith(own):
                namespace = namespace_of(entity_id or "")
                if namespace in self.spread:
                    own = None
                    found.append(self.of_entity(entity_id or ""))
                    continue
                own, partition = namespace + "/", self._of(namespace)
            found.append(partition)
        return found

    def of_namespace(self, namespace: str) -> tuple[int, ...]:
        """Return the partitions that hold entities of `namespace`."""
        return self.all() if namespace in self.spread else (self._of(namespace),)

    def of_prefix(self, prefix: str) -> tuple[int, ...]:
        """Return the partitions that may hold ids beginning with `prefix`."""
        return self.of_namespace(namespace_of(prefix)) if "/" in prefix else self.all()

    def all(self) -> tuple[int, ...]:
        """Return every partition."""
        return tuple(range(self.partitions))

    def _of(self, key: str) -> int:
        return _hashed(key) % self.partitions


@lru_cache(maxsize=_KEYS_KEPT)
def _hashed(key: str) -> int:
    # crc32 is stable across processes and versions, unlike hash(); its spread is even enough.
    return zlib.crc32(key.encode())
