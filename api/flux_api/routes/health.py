"""Is it alive, is it ready, how far is it."""

from __future__ import annotations

import os

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_api.openapi import describe
from flux_api.requests import door_of
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
    partitions = [
        {
            "partition": part.partition,
            "shard": door.shards.owner(part.partition),
            "epoch": part.epoch,
            "ready": part.ready,
            "sequence": part.sequence,
            "pending": part.pending,
            "events": part.events_total,
            "entities": part.entities,
        }
        for part in door.feeds.parts
    ]
    door_facts = {"pid": os.getpid(), "sockets": len(door.hub.watchers), "view": len(door.view)}
    return json_response(
        {
            "version": door.health().version,
            "doors": door.metrics.doors(),
            "door": door_facts,
            "partitions": partitions,
        }
    )
