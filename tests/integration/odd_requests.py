"""Requests that hold a secret, in its place and in every other: none of them may be remembered."""

from __future__ import annotations

import socket

import httpx

from tests.integration.api.support import RawConnection, event


def odd_requests(client, value: str) -> list[httpx.Response]:
    """Send a secret in every place where clients put theirs, and where they put it by mistake."""
    bearer = {"Authorization": f"Bearer {value}"}
    return [
        client.put("/api/admin/config", json={"unknown": 1}, headers=bearer),
        client.put("/api/admin/config", content=b"{", headers=bearer),
        client.post("/api/events", content=b"\xff", headers=bearer),
        client.post("/api/events", json=event("other/x", {"a": 1}), headers=bearer),
        client.post("/api/events/batch", json=[event("other/x", {"a": 1}), 5], headers=bearer),
        client.post("/api/namespaces", json={"name": "X"}, headers=bearer),
        client.get("/nowhere", headers=bearer),
        client.get("/api/state/entities/flux-core/audit/%00", headers=bearer),
        client.get("/api/health", headers={"Cookie": f"token={value}", "X-Api-Key": value}),
        client.get("/api/health", headers={"Authorization": value}),
        client.get("/api/health", headers={"Authorization": f"Basic {value}"}),
        client.get(f"/api/state/entities?token={value}&namespace=none"),
        client.get("/api/ws", headers=bearer),
        client.get("/api/stream", headers={"Last-Event-ID": value}),
        client.post("/api/connectors/github/token", json={"token": value}),
        client.post(
            "/api/connectors/github/token", json={"token": value}, headers={"Authorization": "Bearer wrong"}
        ),
        client.post("/api/connectors/generic", json={"name": "x", "url": f"http://u:{value}@a/"}),
        client.get("/api/ws", headers={"Sec-WebSocket-Protocol": f"flux.bearer.{value}"}),
    ]


def send_odd_bytes(flux, value: bytes) -> None:
    """Send a secret in requests that are none."""
    for data in (
        b"GET / HTTP/1.1\r\nAuthorization: Bearer " + value + b"\x00\r\n\r\n",
        b"GET / HTTP/9\r\nAuthorization: Bearer " + value + b"\r\n\r\n",
        b"Authorization: Bearer " + value + b"\r\n\r\n",
        b"POST /api/events HTTP/1.1\r\nAuthorization: Bearer " + value + b"\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer " + value + b"\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ):
        for port in (flux.port, flux.serve_port):
            with RawConnection(port) as connection:
                connection.send(data)
                connection.socket.shutdown(socket.SHUT_WR)
                while connection.socket.recv(65_536):
                    pass
