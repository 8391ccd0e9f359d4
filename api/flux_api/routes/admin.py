"""The admin's config."""

from __future__ import annotations

import hmac
import ipaddress

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action
from flux_api.openapi import CONFIG_BODY, describe
from flux_api.requests import door_of, principal_of, read_json
from flux_api.responses import json_response

router = APIRouter(tags=["admin"])


@router.get("/api/admin/config", **describe("The config in force"))
async def read_config(request: Request) -> Response:
    """Return the config; it holds no secret."""
    return json_response(door_of(request).config.config)


@router.put("/api/admin/config", **describe("Change some of the config", body=CONFIG_BODY))
async def change_config(request: Request) -> Response:
    """Change the named fields on every replica and return the whole config."""
    await _authorise(request)
    update = await read_json(request, limits.body_other_bytes)
    return json_response(await door_of(request).config.change(update))


async def _authorise(request: Request) -> None:
    door = door_of(request)
    token = door.settings.admin_token
    if token is None:
        if not _from_loopback(request):
            raise Refused("set FLUX_ADMIN_TOKEN on the server to change the config from another machine", 403)
        return
    if door.tenancy.enabled:
        door.tenancy.authorise(await principal_of(request), Action.GOVERN, "")
        return
    given = request.headers.get("authorization", "")
    expected = f"Bearer {token.get_secret_value()}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refused(
            'changing the config needs the header "Authorization: Bearer <FLUX_ADMIN_TOKEN>"',
            401,
            {"WWW-Authenticate": "Bearer"},
        )


def _from_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
