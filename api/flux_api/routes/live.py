"""The WebSocket: subscribe, unsubscribe, and whatever the feed brings."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from flux_actors.domain.json_text import parse_json
from flux_actors.errors import Refused
from flux_api.frames import message
from flux_api.hub import EVERYTHING, Hub, Watcher
from flux_api.openapi import describe
from flux_api.requests import door_of
from flux_api.responses import error_response

router = APIRouter(tags=["live"])


@router.websocket("/api/ws")
async def watch(socket: WebSocket) -> None:
    """Serve one socket until it goes."""
    hub = door_of(socket).hub
    watcher = Watcher()
    await socket.accept()
    hub.join(watcher)
    sender = asyncio.create_task(_send(socket, watcher))
    try:
        await _receive(socket, hub, watcher, sender)
    except WebSocketDisconnect:
        return
    finally:
        hub.leave(watcher)
        sender.cancel()


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


async def _send(socket: WebSocket, watcher: Watcher) -> None:
    try:
        while True:
            for frame in await watcher.outbox.take():
                await socket.send_text(frame)
    except (WebSocketDisconnect, RuntimeError):
        return  # the socket is gone; the receiving side ends the session


async def _receive(socket: WebSocket, hub: Hub, watcher: Watcher, sender: asyncio.Task[None]) -> None:
    while not sender.done():
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        try:
            text = received.get("text")
            body = text.encode() if text is not None else received.get("bytes") or b""
            _obey(hub, watcher, parse_json(body))
        except Refused as error:
            watcher.outbox.put(message(type="error", error=error.message))
        if watcher.outbox.full:
            await _room(watcher, sender)  # one who sends faster than it reads waits for its own answers


async def _room(watcher: Watcher, sender: asyncio.Task[None]) -> None:
    """Return when the outbox takes more, or when the socket is gone."""
    waiting = asyncio.create_task(watcher.outbox.room())
    try:
        await asyncio.wait({waiting, sender}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _obey(hub: Hub, watcher: Watcher, request: Any) -> None:
    """Do what one message asks."""
    if not isinstance(request, dict):
        raise Refused('a message must be a JSON object such as {"type":"subscribe","entity_id":"*"}')
    match request.get("type"):
        case "subscribe":
            _refuse_options(request)
            pattern = _pattern(request)
            hub.subscribe(watcher, pattern)
            if request.get("id") is not None:
                watcher.outbox.put(message(type="subscribed", id=request["id"], entity_id=pattern))
        case "unsubscribe":
            hub.unsubscribe(watcher, _pattern(request))
        case _:
            raise Refused('type must be "subscribe" or "unsubscribe"')


def _refuse_options(request: dict[str, Any]) -> None:
    """Refuse what this version cannot do, rather than watch in another way than asked."""
    for option in ("initial", "from", "where", "fields", "format", "batch"):
        if request.get(option):
            raise Refused(f"{option} is not available in this version; leave it out")


def _pattern(request: dict[str, Any]) -> str:
    pattern = request.get("entity_id")
    if not isinstance(pattern, str) or not pattern:
        raise Refused(f'entity_id must be an id, "namespace/*" or "{EVERYTHING}"')
    return pattern
