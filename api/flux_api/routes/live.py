"""The WebSocket: where a socket is opened, and what is said to those who open none."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, WebSocket
from starlette.responses import Response

from flux_actors.errors import FluxError, Refused
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.openapi import describe
from flux_api.requests import door_of, principal_of
from flux_api.responses import error_response
from flux_api.socket_asgi import AsgiLink
from flux_api.socket_protocol import protocol_of
from flux_api.socket_session import WHO_IS_IT
from flux_api.tenancy import now_us

router = APIRouter(tags=["live"])
_BEARER: Final = "flux.bearer."
_PLAIN: Final = "flux"


@router.websocket("/api/ws")
async def watch(socket: WebSocket) -> None:
    """Serve one socket until it goes: through its transport at the door, through ASGI elsewhere."""
    try:
        principal, subprotocol = await _handshake(socket)
    except FluxError as error:
        await socket.send_denial_response(error_response(error))
        return
    await socket.accept(subprotocol)
    await (protocol_of(socket) or AsgiLink(socket)).serve(door_of(socket), principal)


async def _handshake(socket: WebSocket) -> tuple[Principal, str | None]:
    """Return whose socket it is, by its header or a subprotocol, and the subprotocol to answer with.

    A browser can send no header of its own. It offers `flux.bearer.<token>`, and `flux` beside it if the
    answer is not to repeat the token.
    """
    offered: list[str] = socket.scope.get("subprotocols", [])
    bearers = [name for name in offered if name.startswith(_BEARER)]
    if len(bearers) > 1 or (bearers and "authorization" in socket.headers):
        raise Refused("a socket has one token: in the Authorization header, or in one subprotocol")
    if bearers:
        token = bearers[0].removeprefix(_BEARER)
        principal = await door_of(socket).tenancy.principal_of(f"Bearer {token}")
    else:
        principal = await principal_of(socket)
    if principal.kind is Kind.UNKNOWN or principal.has_expired(now_us()):
        raise Refused(WHO_IS_IT, 401, {"WWW-Authenticate": "Bearer"})
    return principal, _PLAIN if _PLAIN in offered else next(iter(bearers), None)


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
