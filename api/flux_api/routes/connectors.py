"""The connectors that existing clients ask for. None can be configured in this version, and they say so."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from flux_actors.errors import Refused
from flux_api.openapi import describe
from flux_api.responses import json_response

router = APIRouter(tags=["connectors"])
_NAMES: Final = ("github", "gmail", "linkedin", "calendar")
_STATUS: Final = "not_configured"


@router.get("/api/connectors", **describe("All connectors"))
async def list_connectors() -> Response:
    """Return the four names."""
    return json_response(
        {"connectors": [{"name": name, "enabled": False, "status": _STATUS} for name in _NAMES]}
    )


@router.get("/api/connectors/{name}", **describe("One connector", path=["name"]))
async def get_connector(name: str) -> Response:
    """Return one of them with its poll facts, all unknown."""
    if name not in _NAMES:
        raise Refused(f"there is no such connector; the names are {', '.join(_NAMES)}", 404)
    return json_response(
        {
            "name": name,
            "enabled": False,
            "status": _STATUS,
            "last_poll": None,
            "last_error": None,
            "poll_interval_seconds": None,
        }
    )
