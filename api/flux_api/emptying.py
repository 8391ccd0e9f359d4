"""Emptying a namespace: a tombstone for every entity, and every fault of one, until none is left."""

from __future__ import annotations

from flux_actors import limits
from flux_actors.domain.acting.faults import FAULTS_PREFIX
from flux_actors.errors import FluxError, Refused
from flux_actors.tenancy.namespace import Namespace, Phase
from flux_actors.tenancy.principal import ANYONE
from flux_api.door import Door
from flux_api.listing import Listing


async def empty(door: Door, namespace: Namespace) -> dict[int, int]:
    """Delete all entities of a namespace that ends, and return how far the log of its partitions has come.

    Raises:
        Refused: it has ended already, and its name may have another owner by now.
        Unavailable: not all are deleted; doing it again goes on.
    """
    rule, faults = door.partitioning, f"{FAULTS_PREFIX}{namespace.name}/"
    partitions = tuple({*rule.of_namespace(namespace.name), *rule.of_prefix(faults)})
    while True:
        await _check_it_ends(door, namespace)
        await door.caught_up(partitions)
        ids = await Listing(door, namespace.name, "").ids(limits.delete_matches_max)
        ids += await Listing(door, None, faults).ids(limits.delete_matches_max)
        if not ids:
            return {partition: (await door.log.bounds(partition)).last for partition in partitions}
        await _check_it_ends(door, namespace)
        await _delete(door, ids)


async def _check_it_ends(door: Door, namespace: Namespace) -> None:
    await door.tenancy.read()
    now = door.tenancy.registry.namespace(namespace.name)
    if now is None or now.id != namespace.id or now.phase is not Phase.DELETING:
        raise Refused(f"the namespace {namespace.name} was deleted by another request", 409)


async def _delete(door: Door, ids: list[str]) -> None:
    submission = await door.publisher.delete_all(ids, ANYONE)
    for outcome in submission.events:
        if isinstance(outcome, FluxError):
            raise outcome
    positions = submission.positions()
    await door.reached(positions, tuple(positions))
