"""Prometheus' page: all processes of this Flux, whichever door is asked.

What it tells is the server's, not a namespace's: how much there is and how fast it goes, of all namespaces
together. Where tokens are on it is for the admin, as `/api/status` is, and for whoever has the token that
can do nothing else; with that token set, it is needed where tokens are off, too.
"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import StreamingResponse

from flux_actors.errors import Refused
from flux_actors.metering.exposition import CONTENT_TYPE
from flux_actors.tenancy.authorising import Action
from flux_actors.tenancy.token import is_same
from flux_api.openapi import describe
from flux_api.requests import door_of, principal_of

router = APIRouter(tags=["health"])


@router.get("/metrics", **describe("Metrics of all processes, as Prometheus reads them"))
async def metrics(request: Request) -> StreamingResponse:
    """Call the roll and return what was told."""
    await _authorise(request)
    return StreamingResponse(door_of(request).scraping.text(), headers={"Content-Type": CONTENT_TYPE})


async def _authorise(request: Request) -> None:
    door = door_of(request)
    token = door.settings.metrics_token
    if token is not None and _bears(request, token):
        return
    if token is None or door.tenancy.enabled:
        door.tenancy.authorise(await principal_of(request), Action.GOVERN, "")
    elif door.settings.admin_token is None or not _bears(request, door.settings.admin_token):
        raise Refused(
            'the metrics need the header "Authorization: Bearer <FLUX_METRICS_TOKEN>"',
            401,
            {"WWW-Authenticate": "Bearer"},
        )


def _bears(request: Request, token: SecretStr) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and is_same(given.strip(" "), token.get_secret_value())
