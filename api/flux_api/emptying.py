"""Emptying a namespace: a tombstone for every entity, until none is left."""

from __future__ import annotations

from flux_actors import limits
from flux_actors.errors import FluxError
from flux_actors.tenancy.principal import ANYONE
from flux_api.door import Door
from flux_api.listing import Listing


async def empty(door: Door, namespace: str) -> None:
    """Delete all entities of a namespace to which nobody writes any more.

    Raises:
        Unavailable: not all are deleted; doing it again goes on.
    """
    partitions = door.partitioning.of_namespace(namespace)
    while True:
        await door.caught_up(partitions)
        ids = await Listing(door, namespace, "").ids(limits.delete_matches_max)
        if not ids:
            return
        submission = await door.publisher.delete_all(ids, ANYONE)
        for outcome in submission.events:
            if isinstance(outcome, FluxError):
                raise outcome
        positions = submission.positions()
        await door.reached(positions, tuple(positions))
