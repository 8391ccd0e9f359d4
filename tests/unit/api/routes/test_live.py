"""The WebSocket's paths over the app; what a session does is in `test_socket_session.py`."""

from __future__ import annotations

import json

from tests.unit.api.sockets import AsgiClient, RawClient
from tests.unit.api.standing import until


async def test_a_plain_request_is_told_what_the_path_is_for(client):
    answer = await client.get("/api/ws")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "WebSocket" in answer.json()["error"]


async def test_a_socket_at_another_path_is_404(standing):
    socket = AsgiClient(standing, "/api/elsewhere")
    await until(lambda: len(socket.received) == 2)
    start, body = socket.received
    assert start["status"] == 404
    assert "/api/ws" in json.loads(body["body"])["error"]


async def test_a_socket_at_another_path_of_the_door_is_404(standing):
    socket = RawClient(standing, "/api/elsewhere")
    await until(lambda: socket.response is not None)
    assert socket.response.status_code == 404
    assert "/api/ws" in json.loads(socket.response.body)["error"]
    await socket.close()
