"""The past as a door tells it."""

from __future__ import annotations

import pytest

from flux_actors.domain.position import pack
from flux_actors.errors import Refused
from tests.unit.api.standing import event


async def changes_of(standing, entity_id, prefix, after=-1):
    door = standing.door
    partition = door.partitioning.of_entity(entity_id)
    return await door.past.changes(partition, prefix, after, door.feeds.parts[partition].sequence)


async def test_changes_are_told_without_retries_and_without_deletions_of_nothing(standing):
    await standing.publish(
        event("n/e", {"v": 1}, eventId="first"),
        event("n/e", {"v": 9}, eventId="first"),
        event("n/none", {"__deleted__": True}),
        event("n/f", {"v": 2}),
    )
    await standing.publish(event("n/e", {"__deleted__": True}))
    first, second, third = await changes_of(standing, "n/e", "n/")
    assert [(c.entity_id, c.properties) for c in (first, second, third)] == [
        ("n/e", {"v": 1}),
        ("n/f", {"v": 2}),
        ("n/e", None),
    ]
    assert await changes_of(standing, "n/e", "n/f", first.position) == [second]
    assert await changes_of(standing, "n/e", "", third.position) == []


async def test_changes_behind_a_trim_are_gone(standing):
    await standing.publish(event("n/e", {"v": 1}))
    await standing.publish(event("n/e", {"v": 2}))
    standing.log.trim(standing.door.partitioning.of_entity("n/e"), 2)
    with pytest.raises(Refused) as gone:
        await changes_of(standing, "n/e", "n/")
    assert gone.value.status == 410


async def test_what_earlier_owners_of_a_name_wrote_is_left_out(tenants):
    standing = tenants.standing
    partition = standing.door.partitioning.of_entity("acme/x")
    last = (await standing.log.bounds(partition)).last
    await tenants.change("acme", lambda namespace: namespace.ended({partition: last}))
    await standing.door.tenancy.read()
    await standing.publish(event("acme/x", {"v": 2}))
    found = await changes_of(standing, "acme/x", "acme/")
    assert [(c.entity_id, c.properties) for c in found] == [("acme/x", {"v": 2})]
    assert standing.door.past.floor(partition, "acme") == pack(last + 1, 0)
    assert standing.door.past.floors(partition) == {"acme": pack(last + 1, 0)}
    assert standing.door.past.floor(partition, "vault") == 0
