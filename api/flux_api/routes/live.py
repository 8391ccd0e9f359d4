"""The WebSocket: where a socket is opened, and what is said to those who open none."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket
from starlette.responses import Response

from flux_actors.errors import Refused
from flux_api.openapi import describe
from flux_api.requests import door_of
from flux_api.responses import error_response
from flux_api.socket_asgi import AsgiLink
from flux_api.socket_protocol import protocol_of

router = APIRouter(tags=["live"])


@router.websocket("/api/ws")
async def watch(socket: WebSocket) -> None:
    """Serve one socket until it goes: through its transport at the door, through ASGI elsewhere."""
    await socket.accept()
    await (protocol_of(socket) or AsgiLink(socket)).serve(door_of(socket))


@router.get("/api/ws", **describe("Watch entities: open a WebSocket here"))
async def not_a_socket() -> Response:
    """Say what this path is for."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise Refused("this path takes a WebSocket; open it with a WebSocket client", 426, headers)


@router.websocket("/{path:path}")
async def nothing_here(socket: WebSocket) -> None:
    """Refuse sockets at other paths in the API's shape."""
    await socket.send_denial_response(
        error_response(Refused("there is no WebSocket at this path; it is at /api/ws", 404))
    )
