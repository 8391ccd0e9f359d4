"""The past as a door tells it: without what earlier owners of a name did."""

from __future__ import annotations

from flux_actors.domain.change import Change
from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.position import pack
from flux_actors.past.orders import ChangesOrder, Past, decode_changes
from flux_actors.tenancy.registry import Registry


class DoorPast:
    """What was, for readers."""

    def __init__(self, past: Past, registry: Registry) -> None:
        self._past = past
        self._registry = registry

    async def changes(self, partition: int, prefix: str, after: int, until_sequence: int) -> list[Change]:
        """Return every change as the fold made it, in log order.

        Arguments:
            partition: whose log.
            prefix: of the entities' ids; `""` means all.
            after: the packed position behind which changes count, -1 for all.
            until_sequence: the last block that counts.

        Raises:
            Refused: 410, the log no longer reaches back to `after`; 413, there are too many changes.
            Unavailable: they cannot be told now, or the log has no such block yet.
        """
        order = ChangesOrder(partition, prefix, after, until_sequence)
        changes = decode_changes(await self._past.answer(order))
        floors = self.floors(partition)
        if not floors:
            return changes
        return [c for c in changes if c.position >= floors.get(namespace_of(c.entity_id), 0)]

    def floor(self, partition: int, namespace: str) -> int:
        """Return from which packed position on what happened in a namespace may be known.

        A name may have had another owner before: what was theirs is in front of the end of their namespace.
        """
        record = self._registry.namespace(namespace)
        if record is None or partition not in record.past:
            return 0
        return pack(record.past[partition] + 1, 0)

    def floors(self, partition: int) -> dict[str, int]:
        """Return the floors of all namespaces that have one."""
        names = [record.name for record in self._registry.all() if partition in record.past]
        return {name: self.floor(partition, name) for name in names}
