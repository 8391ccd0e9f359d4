"""An entity's raw events, newest first."""

from __future__ import annotations

import time
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.clock import us_of
from flux_actors.domain.entity_id import check_entity_id, namespace_of
from flux_actors.domain.position import Packed, pack
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.principal import Principal
from flux_api.door import Door
from flux_api.history import raw_events
from flux_api.openapi import describe
from flux_api.requests import (
    door_of,
    principal_of,
    query_of,
    refuse_unavailable,
    wanted_positions,
    whole_number,
)
from flux_api.responses import raw_json

router = APIRouter(tags=["events"])
_FOREVER_US: Final = 1 << 62
_FORBIDDEN: Final = 403


@router.get(
    "/api/events",
    **describe(
        "The raw events of one entity, newest first", query=["entity", "since", "until", "limit", "at_least"]
    ),
)
async def history(request: Request) -> Response:
    """Read exactly the newest N events by their positions."""
    door = door_of(request)
    query = query_of(request)
    refuse_unavailable(request, "cursor")
    if not query.get("entity"):
        raise Refused("entity is required: /api/events?entity=namespace/name")
    entity_id = check_entity_id(query["entity"])
    since_us = us_of(query["since"], "since") if query.get("since") else _default_since_us()
    until_us = us_of(query["until"], "until") if query.get("until") else _FOREVER_US
    limit = whole_number(query.get("limit") or str(limits.history_default), "limit")
    count = min(max(limit, 1), limits.history_positions_max)
    partition = door.partitioning.of_entity(entity_id)
    await door.reached(wanted_positions(request), (partition,))
    await door.tenancy.current()
    floor = _floor(door, await principal_of(request), entity_id, partition)
    if floor is None:
        return raw_json(b"[]")
    found = await door.shards.call(partition, "history", partition, entity_id, since_us, until_us, count)
    positions = [Packed(position) for position, _ in found if position >= floor]
    return raw_json(await raw_events(door.log, partition, positions))


def _floor(door: Door, principal: Principal, entity_id: str, partition: int) -> int | None:
    """Return from which position on `principal` may know; `None` for one who is not shown the entity.

    A name may have had another owner before: what was theirs is in front of the end of their namespace.
    """
    namespace = namespace_of(entity_id)
    refused = door.tenancy.refusal(principal, Action.READ, namespace, entity_id)
    if refused is not None:
        if refused.status == _FORBIDDEN:
            raise refused
        return None
    record = door.tenancy.registry.namespace(namespace)
    if record is None or partition not in record.past:
        return 0
    return pack(record.past[partition] + 1, 0)


def _default_since_us() -> int:
    return time.time_ns() // 1_000 - limits.history_default_s * 1_000_000
