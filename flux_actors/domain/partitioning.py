"""Which partition a thing belongs to.

A namespace lives in one partition, so its events have one order, one dedupe window and one owner.
A namespace named in `spread` lives in all of them, entity by entity. The rule is a pure function of
the id and of two facts fixed when the log is created, so doors need to ask nobody.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from flux_actors.domain.entity_id import namespace_of


@dataclass(frozen=True, slots=True)
class Partitioning:
    """The partition count of a log and the namespaces spread over all partitions."""

    partitions: int
    spread: frozenset[str] = field(default_factory=frozenset)

    def of_entity(self, entity_id: str) -> int:
        """Return the partition that orders the events of `entity_id`."""
        namespace = namespace_of(entity_id)
        return self._of(entity_id if namespace in self.spread else namespace)

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
        # crc32 is stable across processes and versions, unlike hash(); its spread is even enough.
        return zlib.crc32(key.encode()) % self.partitions
