"""The admin's config."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.settings import is_loopback_host
from flux_actors.tenancy.authorising import Action
from flux_api.log_report import log_report
from flux_api.openapi import CONFIG_BODY, describe
from flux_api.requests import door_of, principal_of, read_json
from flux_api.responses import json_response

router = APIRouter(tags=["admin"])
_ADMIN: Final = "admin token"
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


@router.get("/api/admin/config", **describe("The config in force"))
async def read_config(request: Request) -> Response:
    """Return the config; it holds no secret."""
    return json_response(door_of(request).config.config)


@router.put("/api/admin/config", **describe("Change some of the config", body=CONFIG_BODY))
async def change_config(request: Request) -> Response:
    """Change the named fields on every replica and return the whole config."""
    who = await _authorise(request)
    update = await read_json(request, limits.body_other_bytes)
    door = door_of(request)
    return json_response(await door.config.change(update, who, door.audit))


@router.get("/api/admin/log", **describe("What the log holds, and what of it would be kept, per partition"))
async def read_log(request: Request) -> Response:
    """Tell operators how much log there is, from when to when, and how far a trim would go."""
    door = door_of(request)
    door.tenancy.authorise(await principal_of(request), Action.GOVERN, "")
    return json_response(await log_report(door))


async def _authorise(request: Request) -> str:
    """Return who asks, in words that an audit record may hold: never a token."""
    door = door_of(request)
    token = door.settings.admin_token
    if token is None:
        return _this_machine(request)
    if door.tenancy.enabled:
        door.tenancy.authorise(await principal_of(request), Action.GOVERN, "")
        return _ADMIN
    given = request.headers.get("authorization", "")
    expected = f"Bearer {token.get_secret_value()}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise Refused(
            'changing the config needs the header "Authorization: Bearer <FLUX_ADMIN_TOKEN>"',
            401,
            {"WWW-Authenticate": "Bearer"},
        )
    return _ADMIN


def _this_machine(request: Request) -> str:
    """Return the loopback address that a request of this machine's own comes from.

    What was passed on by somebody else on this machine is not its own: neither what a proxy forwards, nor
    what a page of another site has a browser send.

    Raises:
        Refused: it comes from elsewhere.
    """
    address = request.client.host if request.client is not None else ""
    origin = request.headers.get("origin")
    if not is_loopback_host(address) or any(name in request.headers for name in _FORWARDED):
        raise _elsewhere("another machine")
    if origin is not None and not is_loopback_host(_host_of(origin)):
        raise _elsewhere("a page of another site")
    return address


def _elsewhere(place: str) -> Refused:
    return Refused(f"set FLUX_ADMIN_TOKEN on the server to change the config from {place}", 403)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
