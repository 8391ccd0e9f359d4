"""An entity's raw events, newest first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.domain.clock import iso_of, us_of
from flux_actors.domain.entity_id import check_entity_id, namespace_of
from flux_actors.domain.position import Packed, text_of
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.principal import Principal
from flux_api.door import Door
from flux_api.history import FOREVER, HistoryQuery, history_page
from flux_api.openapi import describe
from flux_api.queries import next_link, read_cursor
from flux_api.requests import door_of, principal_of, query_of, wanted_positions, whole_number
from flux_api.responses import raw_json

router = APIRouter(tags=["events"])
HISTORY_FROM: Final = "Flux-History-From"
_FORBIDDEN: Final = 403


@router.get(
    "/api/events",
    **describe(
        "The raw events of one entity, newest first; Flux-History-From: since when none is missing",
        query=["entity", "since", "until", "limit", "cursor", "at_least"],
    ),
)
async def history(request: Request) -> Response:
    """Read exactly the newest N events by their positions."""
    door = door_of(request)
    parameters = query_of(request)
    if not parameters.get("entity"):
        raise Refused("entity is required: /api/events?entity=namespace/name")
    entity_id = check_entity_id(parameters["entity"])
    partition = door.partitioning.of_entity(entity_id)
    query = _query(door, parameters, partition)
    await door.reached(wanted_positions(request), (partition,))
    await door.tenancy.current()
    if not _is_shown(door, await principal_of(request), entity_id):
        return raw_json(b"[]")
    kept, whole = await door.past.kept(partition, entity_id)
    page = await history_page(door.log, partition, kept, query, whole=whole)
    headers: dict[str, str] = {}
    if page.last is not None:
        since = {
            "since": parameters.get("since") or iso_of(query.since_us)
        }  # a day ago moves from page to page
        place = text_of(partition, Packed(page.last))
        headers["Link"] = next_link(request.url.path, parameters | since, place)
    if page.from_us is not None:
        headers[HISTORY_FROM] = iso_of(page.from_us)
    return raw_json(page.body, headers=headers)


def _query(door: Door, parameters: Mapping[str, str], partition: int) -> HistoryQuery:
    since, until, cursor = (parameters.get(name) for name in ("since", "until", "cursor"))
    limit = whole_number(parameters.get("limit") or str(limits.history_default), "limit")
    return HistoryQuery(
        us_of(since, "since") if since else _default_since_us(),
        us_of(until, "until") if until else FOREVER,
        _before(door, cursor, partition) if cursor is not None else FOREVER,
        min(max(limit, 1), limits.history_positions_max),
    )


def _before(door: Door, cursor: str, partition: int) -> int:
    text = read_cursor(cursor)
    positions = door.positions(text)
    if any(map(door.succession.is_earlier, positions.values())):
        raise Refused("this cursor is of before the log was repartitioned; begin anew", 410)
    if partition not in positions:
        raise Refused("cursor must be one that the Link header of a page of this entity has given")
    return positions[partition]


def _is_shown(door: Door, principal: Principal, entity_id: str) -> bool:
    """Whether `principal` may know of the entity; raises `Refused` when it may know that it may not."""
    refused = door.tenancy.refusal(principal, Action.READ, namespace_of(entity_id), entity_id)
    if refused is not None and refused.status == _FORBIDDEN:
        raise refused
    return refused is None


def _default_since_us() -> int:
    return time.time_ns() // 1_000 - limits.history_default_s * 1_000_000
