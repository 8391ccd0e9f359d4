"""Claims for work sharing: one holder of an entity at a time."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.errors import Refused
from flux_api.claiming import read_order
from flux_api.openapi import CLAIM_BODY, describe
from flux_api.requests import door_of, principal_of, query_of, read_json, whole_number
from flux_api.responses import json_response

router = APIRouter(tags=["claims"])


@router.post("/api/claims", **describe("Take a claim on an entity, or renew it", body=CLAIM_BODY))
async def take(request: Request) -> Response:
    """Answer 200 with the token of the claim, 409 with the present holder."""
    order = read_order(await read_json(request, limits.body_tenancy_bytes))
    return json_response(await door_of(request).claims.take(order, await principal_of(request)))


@router.delete("/api/claims", **describe("Let a claim go", query=["claimed_id", "holder", "token"]))
async def release(request: Request) -> Response:
    """Answer 200 when the claim is free, 409 with the present holder."""
    query = query_of(request)
    body: dict[str, object] = {"entity_id": query.get("entity_id"), "holder": query.get("holder")}
    if not body["entity_id"]:
        raise Refused("entity_id is required: DELETE /api/claims?entity_id=namespace/name&holder=me")
    if query.get("token"):
        body["token"] = whole_number(query["token"], "token")
    order = read_order(body, releases=True)
    return json_response(await door_of(request).claims.release(order, await principal_of(request)))
