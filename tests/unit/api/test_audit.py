"""The audit record: an event of the server's own, durable before the change, silent about secrets."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_api.audit import Audit

AUDIT = "/api/state/entities/flux-core/audit"
HISTORY = "/api/events?entity=flux-core/audit"


async def told(standing, *records):
    audit = Audit(standing.door.publisher)
    for record in records:
        await audit.record(*record)
    await standing.door.caught_up(standing.door.partitioning.all())


async def test_the_newest_record_is_an_entity_and_the_older_ones_its_history(standing, client):
    first = ("admin token", "config.change", {"a": {"from": 1, "to": 2}})
    second = ("127.0.0.1", "namespace.create", {"name": "mine"})
    await told(standing, first, second)
    newest = (await client.get(AUDIT)).json()["properties"]
    assert (newest["who"], newest["what"], newest["details"]) == second
    events = (await client.get(HISTORY)).json()
    assert [event["payload"]["properties"]["what"] for event in events] == [second[1], first[1]]
    assert {(event["stream"], event["source"]) for event in events} == {("flux.audit", "flux-core")}
    assert newest["when"].endswith("+00:00")


async def test_details_are_replaced_whole_from_record_to_record(standing, client):
    await told(standing, ("a", "b", {"old": 1}), ("a", "b", {"new": 1}))
    assert (await client.get(AUDIT)).json()["properties"]["details"] == {"new": 1}


async def test_a_record_that_is_not_durable_is_an_error_that_says_nothing_was_changed(standing, monkeypatch):
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    standing.log.away = True
    with pytest.raises(Unavailable, match="nothing was changed"):
        await told(standing, ("a", "b", {}))
    standing.log.away = False


async def test_a_door_that_closes_records_nothing_and_says_so(standing):
    await standing.door.publisher.close()
    with pytest.raises(Unavailable, match="nothing was changed"):
        await told(standing, ("a", "b", {}))


async def test_a_client_cannot_write_a_record(client):
    body = {
        "stream": "flux.audit",
        "source": "flux-core",
        "payload": {"entity_id": "flux-core/audit", "properties": {}},
    }
    assert (await client.post("/api/events", json=body)).status_code == 403
    assert (await client.delete(AUDIT)).status_code == 403
