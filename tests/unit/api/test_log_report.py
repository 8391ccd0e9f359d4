"""What operators are told of the log."""

from __future__ import annotations

from flux_actors.errors import Unavailable
from tests.unit.api.standing import event


async def test_each_partition_is_told_or_why_not(client, standing, monkeypatch):
    await standing.publish(event("n/e", {"v": 1}), event("n/f", {"v": 1}))
    await standing.publish(event("n/e", {"v": 2}))
    partition = standing.door.partitioning.of_entity("n/e")
    away = (partition + 1) % 3
    told = standing.shard.log_facts

    async def facts_of(number):
        if number == away:
            raise Unavailable("it is away")
        return await told(number)

    monkeypatch.setattr(standing.shard, "log_facts", facts_of)
    answer = (await client.get("/api/admin/log")).json()
    assert (answer["max_age_seconds"], answer["max_bytes"]) == (None, None)
    rows = {row["partition"]: row for row in answer["partitions"]}
    row = rows[partition]
    assert (row["blocks"], row["first"]["sequence"], row["last"]["sequence"]) == (2, 1, 2)
    entity = (await client.get("/api/state/entities/n/e")).json()
    assert row["last"]["time"] == entity["lastUpdated"]
    assert row["bytes"] == (await standing.log.usage(partition)).size_bytes
    assert (row["snapshots"], row["oldest_snapshot"], row["trim_keeps_from"]) == (0, None, 1)
    assert rows[away] == {"partition": away, "error": "it is away"}
    (empty,) = (row for number, row in rows.items() if number not in {partition, away})
    assert (empty["blocks"], empty["first"], empty["last"]) == (0, None, None)
