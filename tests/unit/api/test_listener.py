"""The listener: doors share a port, answer over HTTP, and close without cutting anyone off."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import closing

import httpx
import pytest

from flux_actors.settings import Settings
from flux_api.listener import Listener, allow_many_clients, shared_socket
from flux_cluster.ports import free_ports


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


async def asked(port):
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}/")


async def test_it_answers_between_opening_and_closing():
    (port,) = free_ports(1)
    listener = Listener(hello, Settings(port=port))
    assert not listener.listens
    await listener.open()
    assert (listener.listens, (await asked(port)).text) == (True, "hi")
    await listener.close()
    assert not listener.listens
    with pytest.raises(httpx.ConnectError):
        await asked(port)


async def test_an_answer_under_way_is_finished_before_it_closes():
    asked_for, answer = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send):
        asked_for.set()
        await answer.wait()
        await hello(scope, receive, send)

    (port,) = free_ports(1)
    listener = Listener(slow, Settings(port=port))
    await listener.open()
    reader = asyncio.create_task(asked(port))
    await asked_for.wait()
    closing_door = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    answer.set()
    assert (await reader).text == "hi"
    await closing_door


def test_doors_share_a_port_and_others_cannot_take_it():
    (port,) = free_ports(1)
    with closing(shared_socket("127.0.0.1", port)), closing(shared_socket("127.0.0.1", port)) as door:
        door.listen()
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_it_allows_as_many_clients_as_the_machine_does():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        allow_many_clients()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 1 << 20), hard)
        allow_many_clients()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_listens_where_it_is_told_and_nowhere_else():
    (port,) = free_ports(1)
    with closing(shared_socket("127.0.0.1", port)) as door:
        assert door.getsockname() == ("127.0.0.1", port)
    with closing(shared_socket("::1", port)) as door:
        assert door.getsockname()[:2] == ("::1", port)
