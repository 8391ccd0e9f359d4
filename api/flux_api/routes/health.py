"""Is it alive, is it ready, how far is it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors.errors import FluxError
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.shard.partition import PartitionStatus, Phase
from flux_actors.tenancy.authorising import Action
from flux_api.door import Door
from flux_api.openapi import describe
from flux_api.requests import door_of, principal_of
from flux_api.responses import json_response

router = APIRouter(tags=["health"])


@router.head("/api/health", **describe("The status of GET alone"))
@router.get("/api/health", **describe("State of the partitions"))
async def health(request: Request) -> Response:
    """Answer 200 when every partition is ready, else 503."""
    report = door_of(request).health()
    return json_response(report, 200 if report.status == "ok" else 503)


@router.head("/api/ready", **describe("The status of GET alone"))
@router.get("/api/ready", **describe("Readiness probe"))
async def ready(request: Request) -> Response:
    """Answer 200 when this door can serve every partition."""
    report = door_of(request).health()
    if report.status == "ok":
        return json_response({"status": "ready"})
    return json_response({"status": report.status}, 503, {"Retry-After": "1"})


@router.head("/api/live", **describe("The status of GET alone"))
@router.get("/api/live", **describe("Liveness probe"))
async def live() -> Response:
    """Answer 200 while the door's process runs."""
    return json_response({"status": "live"})


@router.get("/api/status", **describe("What runs, and how far each partition is"))
async def status(request: Request) -> Response:
    """Tell operators about partitions, their shards, and this door."""
    door = door_of(request)
    door.tenancy.authorise(await principal_of(request), Action.GOVERN, "")
    rows = await _shards_words(door)
    partitions = [_partition_facts(door, part, rows.get(part.partition)) for part in door.feeds.parts]
    door_facts = {"pid": os.getpid(), "sockets": len(door.hub.watchers), "view": len(door.view)}
    return json_response(
        {
            "version": door.health().version,
            "doors": door.metrics.doors(),
            "door": door_facts,
            "partitions": partitions,
        }
    )


async def _shards_words(door: Door) -> dict[int, PartitionStatus]:
    """Return what the shards say of their partitions; those that are away say nothing."""
    owners = {door.shards.owner(part.partition): part.partition for part in door.feeds.parts}
    answers = await asyncio.gather(
        *(door.shards.call(partition, "status") for partition in owners.values()), return_exceptions=True
    )
    faults = [a for a in answers if isinstance(a, BaseException) and not isinstance(a, FluxError)]
    if faults:
        raise faults[0]
    rows = [PartitionStatus(*row) for rows in answers if not isinstance(rows, BaseException) for row in rows]
    return {row.partition: row for row in rows if row.phase != Phase.FOLLOWING}


def _partition_facts(door: Door, part: PartitionFeed, row: PartitionStatus | None) -> dict[str, Any]:
    return {
        "partition": part.partition,
        "shard": door.shards.owner(part.partition),
        "epoch": row.epoch if row else part.epoch,
        "phase": row.phase if row else "away",
        "ready": part.ready,
        "sequence": row.sequence if row else part.sequence,
        "pending": row.pending if row else part.pending,
        "events": row.events_total if row else part.events_total,
        "entities": row.entities if row else part.entities,
        "hot": row.hot if row else None,
        "cold": row.cold if row else None,
        "snapshot": row.snapshot if row else None,
        "poison": row.poison if row else None,
        "error": row.error if row else None,
    }
